"""A proof: which files give the same in the live interpreter and in the new environments. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from envman.errors import Problem

EQUAL, HARMLESS, DIFFERS = "equal", "harmless", "differs"


@dataclass(frozen=True)
class ProofDifference:
    """One difference; `reason` is a word of REASONS in proof_reasons, `why` a sentence."""

    kind: str
    dag: str
    path: str
    old: str
    new: str
    reason: str
    why: str
    harmless: bool
    remedy: str


@dataclass(frozen=True)
class ProvedFile:
    """A file, relative to the bundle's folder: Dags of both sides, seconds on each (None: it is not found
    there), import errors that are the same on both; what differs, and how much more is not listed.
    """

    file: str
    verdict: str
    dags: tuple[str, ...]
    old_seconds: float | None
    new_seconds: float | None
    same_errors: tuple[str, ...]
    differences: tuple[ProofDifference, ...]
    more: int = 0


@dataclass(frozen=True)
class VersionChange:
    """A package, and its version on each side; None: it is not there."""

    package: str
    old: str | None
    new: str | None


@dataclass(frozen=True)
class NeedlessUse:
    """An operator that brings an interpreter of its own for a task."""

    file: str
    line: int
    name: str
    asks: tuple[str, ...]


@dataclass(frozen=True)
class ProvedBundle:
    """A bundle: where its files are, where they were parsed, and what came of each.

    `compared` is "all", or "core" where the two Airflows serialize Dags in forms that can't be compared.
    `inner` are other bundles' folders in its own, where its Dag processor finds Dags as well.
    """

    bundle: str
    folder: str
    old_folder: str
    environment: str
    generation: str
    python: str
    airflow: str
    compared: str
    files: tuple[ProvedFile, ...]
    plugins: tuple[ProofDifference, ...]
    packages: tuple[VersionChange, ...]
    needless: tuple[NeedlessUse, ...]
    inner: tuple[str, ...] = ()


@dataclass(frozen=True)
class Proof:
    """All bundles, and the live interpreter. `left_out` are files with Dags in the live folders that are
    in no bundle, `skipped` bundles that are no folder of this host, `notes` sentences about the whole.
    """

    interpreter: str
    python: str
    airflow: str
    bundles: tuple[ProvedBundle, ...]
    left_out: tuple[str, ...]
    skipped: tuple[str, ...]
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether there are files, and nothing differs but what is harmless."""
        harmful = any(_harmful(bundle) for bundle in self.bundles)
        return not harmful and not self.left_out and self.files() > 0

    def count(self, verdict: str) -> int:
        """How many files have a verdict."""
        return sum(file.verdict == verdict for bundle in self.bundles for file in bundle.files)

    def files(self) -> int:
        """How many files there are."""
        return sum(len(bundle.files) for bundle in self.bundles)

    def same_errors(self) -> int:
        """How many files have the same import error on both sides."""
        return sum(bool(file.same_errors) for bundle in self.bundles for file in bundle.files)

    def problems(self) -> list[Problem]:
        """What differs and is not harmless; and a proof of nothing."""
        found = [problem for bundle in self.bundles for problem in _problems(bundle)]
        remedy = (
            "Give a bundle the folder it is in, or add a bundle; or leave it out, if it is no longer needed."
        )
        found += [Problem(file, "is in no bundle of the new deployment", remedy) for file in self.left_out]
        if not self.files():
            what = "no file with Dags was found, so nothing is proved"
            found.append(
                Problem(", ".join(one.folder for one in self.bundles), what, "Look at the bundles' folders.")
            )
        return found

    def document(self) -> dict[str, Any]:
        """The same as values that JSON has."""
        counts = {name: self.count(name) for name in (EQUAL, HARMLESS, DIFFERS)}
        summary = {"files": self.files(), **counts, "same_errors": self.same_errors()}
        return {**asdict(self), "summary": summary}


def verdict(differences: Iterable[ProofDifference]) -> str:
    """Of a file, by what differs."""
    harmless = [one.harmless for one in differences]
    if not harmless:
        return EQUAL
    return HARMLESS if all(harmless) else DIFFERS


def place(one: ProofDifference) -> str:
    """What it is about: its kind, the Dag, and the path in it; of a warning its kind alone."""
    path = "" if one.path in {one.old, one.new} else one.path
    return " ".join(filter(None, (one.kind, one.dag, path)))


def headline(one: ProofDifference) -> str:
    """A difference in a line."""
    what = f"{place(one)}: {_line(one.old)} -> {_line(one.new)}"
    return f"{what}: {one.why}" if one.why else f"{what}: not explained"


def alike(differences: Iterable[ProofDifference]) -> Iterator[tuple[ProofDifference, str]]:
    """Of each cause the first difference, and a word about how many more it has."""
    groups: dict[tuple[str, str], list[ProofDifference]] = {}
    for one in differences:
        groups.setdefault((one.why, one.remedy), []).append(one)
    for first, *more in groups.values():
        plural = "s" if len(more) > 1 else ""
        yield first, f" (and {len(more)} more such difference{plural})" if more else ""


def _problems(bundle: ProvedBundle) -> Iterator[Problem]:
    """What is harmful in a bundle."""
    found: dict[str, list[ProofDifference]] = {}
    for where, one in _harmful(bundle):
        if one.reason != "error":  # that is told of by the import error itself
            found.setdefault(where, []).append(one)
    for where, differences in found.items():
        for one, more in alike(differences):
            yield Problem(f"{bundle.bundle}: {where}", headline(one) + more, one.remedy)


def _harmful(bundle: ProvedBundle) -> list[tuple[str, ProofDifference]]:
    differing = [(file.file, one) for file in bundle.files for one in file.differences]
    differing += [(one.path, one) for one in bundle.plugins]
    return [(where, one) for where, one in differing if not one.harmless]


def _line(text: str, longest: int = 80) -> str:
    """What a text comes down to: of a traceback its last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    last = lines[-1] if lines[0].startswith("Traceback") else " ".join(lines)
    return last if len(last) <= longest else f"{last[:longest]}…"
