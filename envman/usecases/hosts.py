"""`envman hosts`: which host has which generation of a release, by their records and by ssh."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path

from envman.errors import EnvmanError, Problem, UsageError
from envman.oci.skopeo import Skopeo
from envman.release.blob_sources import blob_source, read_release
from envman.release.document import HostRecord, is_host_tag, parse_host_record
from envman.release.strangers_json import read_json
from envman.spec.image_names import Reference
from envman.system.events import silent
from envman.system.processes import Processes
from envman.system.side_by_side import side_by_side

_AT_ONCE = 8
_SECONDS = 60.0
"""How long a host may take to answer."""

_LARGEST_ANSWER = 2**24


class HostState(str, Enum):
    """A host's generation against the release's; without a release, against the other hosts'."""

    CURRENT = "current"
    BEHIND = "behind"
    MISSING = "missing"
    NOT_RELEASED = "not released"
    SAME = "same"
    DIFFERS = "differs"


@dataclass(frozen=True)
class HostRow:
    """An environment of a host: the generation that it has, and the one of the release; `at` is when the host
    said so (UTC, ISO 8601), and `by` whether that stands in the registry or was asked by ssh.
    """

    host: str
    environment: str
    generation: str | None
    released: str | None
    state: HostState
    at: str
    by: str


@dataclass(frozen=True)
class HostsOutcome:
    """All hosts that are known; `release` is the digest of what they are compared with."""

    release: str | None
    rows: tuple[HostRow, ...]
    problems: tuple[Problem, ...]


def hosts(place: Reference | None, by_ssh: Sequence[str], root: str | None) -> HostsOutcome:
    """Look which host has which generation; a host that can't be asked is a problem, the others are shown.

    Raises UsageError where neither a release nor a host is named, ImageError for an unreadable release.
    """
    if place is None and not by_ssh:
        raise UsageError(Problem("", "no hosts are named", "Name a release in a registry, or --ssh HOST."))
    processes = Processes()
    digest: str | None = None
    released: dict[str, str] = {}
    records: list[tuple[HostRecord, str]] = []
    problems: list[Problem] = []
    if place is not None:
        digest, released = _released(place, processes)
        if place.scheme == "docker":
            found, wrong = _from_registry(place, Skopeo(processes))
            records += [(one, "registry") for one in found]
            problems += wrong
    asked = side_by_side(by_ssh, lambda host: _by_ssh(host, root, processes), _AT_ONCE, silent)
    records += [(one, "ssh") for one in asked.results]
    newest = {record.host: (record, by) for record, by in records}  # what ssh says is of this moment
    return HostsOutcome(digest, tuple(_rows(newest.values(), released)), (*problems, *asked.problems()))


def _released(place: Reference, processes: Processes) -> tuple[str, dict[str, str]]:
    with tempfile.TemporaryDirectory(prefix="envman-hosts-") as folder:
        source = blob_source(place, Path(folder), processes)
        digest, release = read_release(source, str(place))
    return digest, {name: one.generation for name, one in release.environments.items()}


def _from_registry(place: Reference, skopeo: Skopeo) -> tuple[tuple[HostRecord, ...], tuple[Problem, ...]]:
    """The records that hosts have left beside the release."""
    tags = [tag for tag in skopeo.tags(place) if is_host_tag(tag)]

    def read(tag: str) -> HostRecord:
        there = place.with_tag(tag)
        return parse_host_record(skopeo.raw_manifest(there), tag, str(there))

    outcomes = side_by_side(tags, read, _AT_ONCE, silent)
    return outcomes.results, outcomes.problems()


def _by_ssh(host: str, root: str | None, processes: Processes) -> HostRecord:
    """What a host's own envman lists; raises UsageError, EnvmanError."""
    where = f"--ssh {host}"
    if not host or host.startswith("-"):
        raise UsageError(Problem(where, "is not the name of a host", "Write a name, or user@name."))
    asked = shlex.join(["envman", "list", "--json", *(["--root", root] if root else [])])
    words = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "--", host, asked]
    try:
        finished = processes.run(words, os.environ, "/", timeout=_SECONDS)
    except FileNotFoundError:
        problem = Problem(where, "ssh is not installed", "Install it: apt-get install openssh-client")
        raise EnvmanError(problem) from None
    try:
        if len(finished.stdout) > _LARGEST_ANSWER:
            raise ValueError("it is too long")
        answer = read_json(finished.stdout.encode())
        found = {str(row["environment"]): row["generation"] for row in answer["result"]}
        texts = [*found, *(one for one in found.values() if one is not None)]
        if answer["schema_version"] != 1 or not all(isinstance(one, str) for one in texts):
            raise ValueError("it is of another format")
        if not all(one.isprintable() for one in texts):
            raise ValueError("it has names that can't be shown")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        said = finished.stderr.strip().splitlines()
        what = said[-1][:500] if finished.exit_code and said else f"its answer is no list: {error}"
        remedy = f"Try it yourself: ssh {host} {asked}"
        raise EnvmanError(Problem(where, what, remedy)) from None
    at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    built = {name: generation for name, generation in found.items() if generation}
    return HostRecord(host.rpartition("@")[2], root or "", at, "", built)


def _rows(records: Iterable[tuple[HostRecord, str]], released: Mapping[str, str]) -> Iterable[HostRow]:
    listed = sorted(records, key=lambda one: one[0].host)
    everywhere: dict[str, set[str | None]] = {}
    for name in {name for record, _ in listed for name in record.environments}:
        everywhere[name] = {record.environments.get(name) for record, _ in listed}
    for record, by in listed:
        for name in sorted({*record.environments, *released}):
            has, wanted = record.environments.get(name), released.get(name)
            if released:
                state = _against_release(has, wanted)
            else:
                state = HostState.SAME if len(everywhere[name]) == 1 else HostState.DIFFERS
            yield HostRow(record.host, name, has, wanted, state, record.at, by)


def _against_release(has: str | None, wanted: str | None) -> HostState:
    if wanted is None:
        return HostState.NOT_RELEASED
    if has is None:
        return HostState.MISSING
    return HostState.CURRENT if has == wanted else HostState.BEHIND
