"""What envman leans on in Airflow, as digests of Airflow's source: one file, digests.json.

    python -m tests.upstream.digests            write the file, and say what changed between the versions
    python -m tests.upstream.digests 3.4.0      say what is otherwise in this Airflow than in the newest one there

The second is for the day of a new Airflow. Each name that it prints was rewritten upstream: read both sources,
follow in envman, and add the version to tests/upstream/sources.py. The exit code is 1 where there is one.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from envman.airflow.upstream import NAMES, Upstream
from tests.upstream.sources import VERSIONS, Sources, digest, fetch

FILE = Path(__file__).with_name("digests.json")
Digests = dict[str, dict[str, str]]
"""By name, and by version of Airflow; a name that a version does not have is missing there."""

COVERED = tuple(one for one in NAMES if one.name)
"""All but whole modules, of which nothing is wanted but that they are there."""


def digests_of(sources: Sources) -> dict[str, str]:
    """The digests of one version."""
    found = {str(one): sources.find(one.module, one.name) for one in COVERED}
    return {name: digest(what) for name, what in found.items() if what}


def changed(older: Mapping[str, str], newer: Mapping[str, str]) -> list[tuple[Upstream, str]]:
    """What two versions have otherwise, in words."""
    told = []
    for one in COVERED:
        before, after = older.get(str(one)), newer.get(str(one))
        if before != after:
            told.append((one, "is new" if not before else "is gone" if not after else "is another"))
    return told


def recorded() -> Digests:
    """What the file holds."""
    read: Digests = json.loads(FILE.read_text(encoding="utf-8"))
    return read


def of_version(digests: Digests, version: str) -> dict[str, str]:
    """The digests of one version, by name."""
    return {name: versions[version] for name, versions in digests.items() if version in versions}


def read_version(version: str) -> dict[str, str]:
    """Fetch a version, and take its digests."""
    with tempfile.TemporaryDirectory(prefix="envman-upstream-") as folder:
        return digests_of(fetch(version, Path(folder) / "sources"))


def say(older: str, newer: str, changes: list[tuple[Upstream, str]]) -> None:
    """Print what changed."""
    sys.stdout.write(f"Airflow {older} to {newer}: {len(changes)} of {len(COVERED)}\n")
    for one, what in changes:
        sys.stdout.write(f"  {one} {what}; {one.how}: {one.why}\n")


def main(words: list[str]) -> int:
    """Write the file, or compare one version with it."""
    if words:
        known = of_version(recorded(), VERSIONS[-1])
        changes = changed(known, read_version(words[0]))
        say(VERSIONS[-1], words[0], changes)
        return 1 if changes else 0
    read = {version: read_version(version) for version in VERSIONS}
    for older, newer in pairwise(VERSIONS):
        say(older, newer, changed(read[older], read[newer]))
    written: Digests = {
        str(one): {version: read[version][str(one)] for version in VERSIONS if str(one) in read[version]}
        for one in COVERED
    }
    FILE.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
