"""Who did something: the user and the host, and in CI the commit and the job."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Actor:
    """Who did something, as far as it is known; what is not known is empty."""

    user: str = ""
    host: str = ""
    commit: str = ""
    job: str = ""

    def describe(self) -> str:
        """On one line: `ana@ci-3, commit 1b2c3d4e5f60, https://ci/job/7`."""
        where = f"{self.user}@{self.host}" if self.user and self.host else self.user or self.host
        commit = f"commit {self.commit[:12]}" if self.commit else ""
        return ", ".join(part for part in (where, commit, self.job) if part)


def parse_actor(data: object) -> Actor:
    """Who it was, from JSON; what is not known is empty. Raises TypeError."""
    if not isinstance(data, dict):
        raise TypeError("is not an object")
    known = {key: str(data[key]) for key in ("user", "host", "commit", "job") if data.get(key)}
    return Actor(**known)
