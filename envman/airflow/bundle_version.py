"""The code that a trigger may import: its bundle, in the version of its run."""

from __future__ import annotations

import json
from typing import Any, NamedTuple


class BundleVersion(NamedTuple):
    """A bundle in a version, empty for the latest; `data` is what its class keeps about it, as JSON."""

    name: str
    version: str = ""
    data: str = "null"

    @classmethod
    def of_run(cls, name: str, version: str | None, data: Any) -> BundleVersion:
        """That of a run, which may follow the latest version: then there is nothing to keep about it."""
        return cls(name, version or "", json.dumps(data if version else None, sort_keys=True))

    def call(self) -> bytes:
        """What a runner has to know, as JSON."""
        fields = {"bundle": self.name, "version": self.version or None, "data": json.loads(self.data)}
        return json.dumps(fields).encode()

    def words(self) -> dict[str, str]:
        """What a message says of it."""
        return {"bundle": self.name, **({"version": self.version} if self.version else {})}
