"""Why two parses of a file differ, as far as that can be said. Pure."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from envman.proof.gaps import (
    ABSENT,
    DAG,
    ENDED,
    ERROR,
    PRESENT,
    PYTHON_WARNING,
    WARNING,
    ProofGap,
    gaps,
    reordered,
)
from envman.proof.parsed_file import FileParse
from envman.proof.verdicts import ProofDifference, VersionChange

REASONS = {
    # word: whether what it explains is harmless
    "itself": True,
    "path": True,
    "traceback": True,
    "variable": False,
    "module": False,
    "missing file": False,
    "package": False,
    "python": False,
    "error": False,
    "mended": False,
    "listing": False,
    "": False,
}
"""What a difference may come from; the empty one: nobody knows."""

_ITSELF = "it differs from one parse to the next: "

LONGEST = 2_000
"""Characters of a value that a report shows."""

_AIRFLOW = {"apache-airflow", "apache-airflow-core", "apache-airflow-task-sdk"}

_NO_MODULE = re.compile(r"No module named '([\w.]+)'")
_NO_NAME = re.compile(r"cannot import name '\w+' from '([\w.]+)'")
_NO_FILE = re.compile(r"(?:FileNotFoundError|PermissionError|NotADirectoryError): .*?'([^'\n]+)'")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
_SECONDS = re.compile(r"1\d{9}(\.\d+)?")
_SECRET = re.compile("pass|secret|token|key|credential", re.IGNORECASE)
_LIBRARY = re.compile(r"/lib(?:64)?/python3\.\d+t?/")


@dataclass(frozen=True)
class Evidence:
    """What is known of a file besides its two first parses.

    Of the live interpreter: `again` are more parses, `narrow` is one with the variables of the environment;
    `versions` are those of the packages that differ, `owners` the packages that have modules, `own` those
    that are from no index, `outside` the modules' files. `variables` are those that differ and that the file
    reads, `changes` the packages that differ and that it loads; `folders` are what a path may begin with on
    either side, and the word for it; `bundle` is the bundle's name, and its folder there.
    """

    again: Sequence[FileParse] = ()
    narrow: FileParse | None = None
    variables: Sequence[str] = ()
    folders: Mapping[str, str] = field(default_factory=dict)
    changes: Sequence[VersionChange] = ()
    pythons: tuple[str, str] = ("", "")
    versions: Mapping[str, str] = field(default_factory=dict)
    owners: Mapping[str, str] = field(default_factory=dict)
    own: Sequence[str] = ()
    outside: Mapping[str, str] = field(default_factory=dict)
    environment: str = ""
    bundle: tuple[str, str] = ("", "/")
    whole: bool = True


def explained(old: FileParse, new: FileParse, evidence: Evidence) -> tuple[ProofDifference, ...]:
    """All differences of two parses, each with its reason."""
    base, again = _settled([old, *evidence.again])
    found = gaps(base, new, evidence.whole)
    unsteady = {gap.place for other in again for gap in gaps(base, other, evidence.whole)}
    narrow = _of_variables(found, new, evidence)
    ids_vary = _ids_vary(base, new, again)
    told = [difference(_once(old, base), "itself", _ITSELF + "a time-out, a crash or an import error")]
    for gap in found:
        if _is_unsteady(gap, unsteady) or (ids_vary and _is_of_one(gap, base, new)):
            told.append(difference(gap, "itself", _ITSELF + _nature(gap)))
        elif words := _path(gap, evidence.folders):
            told.append(difference(gap, "path", words))
        elif gap.place in narrow:
            told.append(_variable(gap, evidence))
        else:
            told.append(_consequence(gap, found) or _error(gap, evidence) or _version(gap, evidence))
    return tuple(told if base is not old else told[1:])


def _settled(parses: list[FileParse]) -> tuple[FileParse, list[FileParse]]:
    """Of several parses in one interpreter, one that counts, and others that came as far: a time-out of a
    busy machine, or an error that is there at times, is no reason for a Dag to be missing.
    """
    ended = [one for one in parses if not one.ended] or parses
    good = [one for one in ended if not one.errors] or ended
    return good[0], good[1:]


def _once(old: FileParse, base: FileParse) -> ProofGap:
    """What the first parse came to, where another one came further."""
    what = old.ended or next(iter(old.errors.values()), "")
    return ProofGap(ENDED, "", "", what, base.ended or PRESENT)


def _is_unsteady(gap: ProofGap, unsteady: set[tuple[str, str, str]]) -> bool:
    """Whether it differs in the live interpreter, too; of an import error what stands behind its kind."""
    if gap.place not in unsteady:
        return False
    kinds = {_last(str(one)).partition(":")[0] for one in (gap.old, gap.new)}
    return gap.kind != ERROR or len(kinds) == 1


def _of_variables(found: list[ProofGap], new: FileParse, evidence: Evidence) -> set[tuple[str, str, str]]:
    """The places that do not differ with the environment's variables; none where that parse came less far."""
    places = {gap.place for gap in found}
    if evidence.narrow is None:
        return set()
    left = gaps(evidence.narrow, new, evidence.whole)
    if any(gap.kind in {ENDED, ERROR} and gap.place not in places for gap in left):
        return set()
    return places - {gap.place for gap in left}


def _consequence(gap: ProofGap, found: list[ProofGap]) -> ProofDifference | None:
    """What an import error, or the end of a parse, that one side alone has, explains of the file's Dags."""
    ends = [one for one in found if one.kind in {ERROR, ENDED} and one.place != gap.place]
    if gap.kind == DAG and any(gap.new == one.old == ABSENT for one in ends):
        return difference(gap, "error", "the file can't be parsed there")
    if gap.kind == DAG and any(gap.old == one.new == ABSENT for one in ends):
        return difference(gap, "error", "the live interpreter can't parse the file")
    if gap.kind in {ERROR, ENDED} and gap.new == ABSENT:
        return difference(gap, "mended", "the live interpreter can't parse the file, the environment can")
    return None


def missing_modules(errors: Iterable[str]) -> set[str]:
    """The modules that import errors say are not there."""
    return {found for text in errors for find in (_NO_MODULE, _NO_NAME) for found in find.findall(text)}


def difference(gap: ProofGap, reason: str, why: str, remedy: str = "") -> ProofDifference:
    """A difference with its reason."""
    return ProofDifference(
        kind=gap.kind,
        dag=gap.dag,
        path=gap.path.lstrip("/"),
        old=shown(gap.old),
        new=shown(gap.new),
        reason=reason,
        why=why,
        harmless=REASONS[reason],
        remedy=remedy,
    )


def shown(value: Any) -> str:
    """A value as a report has it."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    half = LONGEST // 2
    return text if len(text) <= LONGEST else f"{text[:half]} … {text[-half:]}"


def _ids_vary(old: FileParse, new: FileParse, again: Sequence[FileParse]) -> bool:
    """Whether the file gives Dags of other names each time, and as many of them on both sides."""
    return len(old.dags) == len(new.dags) and any(
        other.dags.keys() != old.dags.keys() and len(other.dags) == len(old.dags) for other in again
    )


def _is_of_one(gap: ProofGap, old: FileParse, new: FileParse) -> bool:
    """Whether it is about a Dag that only one side has."""
    dag = gap.dag if gap.kind == DAG else gap.path.partition(": ")[0] if gap.kind == WARNING else ""
    return dag in old.dags.keys() ^ new.dags.keys()


def _nature(gap: ProofGap) -> str:
    """What kind of a value it looks like."""
    old, new = gap.old, gap.new
    if isinstance(old, list) and isinstance(new, list) and reordered(old, new):
        return "the order of a set"
    if all(isinstance(one, str) and _TIME.search(one) for one in (old, new)):
        return "a time"
    if all(_SECONDS.fullmatch(str(one)) for one in (old, new)):
        return "a time"
    return "a random value, a time, or the order of a set"


def _path(gap: ProofGap, folders: Mapping[str, str]) -> str:
    """Whether it is the same but for where things are: where the bundle is, or the interpreter."""
    if gap.path.endswith("/relative_fileloc"):
        return "a path: it counts from the bundle's folder"
    if not isinstance(gap.old, str) or not isinstance(gap.new, str) or gap.kind == DAG:
        return ""
    (old, _), (new, words) = _placed(gap.old, folders), _placed(gap.new, folders)
    if old != new:
        return ""
    return f"a path: {', '.join(sorted(words))}"


def _placed(text: str, folders: Mapping[str, str]) -> tuple[str, set[str]]:
    words = set()
    for folder, word in sorted(folders.items(), key=lambda one: -len(one[0])):
        if folder in text:
            text = text.replace(folder, f"<{word}>")
            words.add(word)
    return _LIBRARY.sub("/lib/python/", text), words


def _variable(gap: ProofGap, evidence: Evidence) -> ProofDifference:
    names = list(evidence.variables)
    if not names:
        what = "the variables of the environment: with those it is the same in the live interpreter"
        return difference(
            gap, "variable", what, "Compare: envman check names variables that workloads do not get."
        )
    listed = ", ".join(names)
    plural = "variables" if len(names) > 1 else "variable"
    why = f"the {plural} {listed}, which workloads of {evidence.environment} do not get as it is set here"
    spec = f"environments/{evidence.environment}.toml"
    passed = ", ".join(f'"{name}"' for name in names)
    remedy = f"To hand it on, in {spec}: [variables] pass = [{passed}]"
    if any(map(_SECRET.search, names)):
        remedy += "; a secret better comes as a credential of the environment"
    return difference(gap, "variable", why, f"{remedy}.")


def _error(gap: ProofGap, evidence: Evidence) -> ProofDifference | None:
    """What an import error that only the environment has says of itself."""
    if gap.kind != ERROR or gap.new == ABSENT:
        return None
    old, new = _last(gap.old), _last(gap.new)
    if gap.old != ABSENT and _placed(old, evidence.folders)[0] == _placed(new, evidence.folders)[0]:
        return difference(gap, "traceback", "the same error, by way of other lines of libraries")
    for module in sorted(missing_modules([new])):
        return _module(gap, module, evidence)
    found = _NO_FILE.search(new)
    if found:
        remedy = (
            "Put the file where both find it, such as into the bundle, or into a package of the environment."
        )
        return difference(gap, "missing file", f"the file {found[1]} can't be opened there", remedy)
    return None


def _module(gap: ProofGap, module: str, evidence: Evidence) -> ProofDifference:
    owner = evidence.owners.get(module, "")
    if owner:
        version = evidence.versions.get(owner)
        pinned = f"{owner}=={version}" if version else owner
        why = f"the module {module} is not there; the live interpreter has it from {pinned}"
        if owner in evidence.own:  # an index may have a stranger's package of that name
            spec = f"environments/{evidence.environment}.toml"
            remedy = "Put its source into the project, and write its folder into the spec"
            return difference(gap, "module", f"{why}, from no index", f"{remedy}, {spec}: sources = [...]")
        return difference(gap, "module", why, f"Run: envman add {evidence.environment} '{pinned}'")
    if file := evidence.outside.get(module):
        why = f"the module {module} is not there; the live interpreter finds it at {file}"
        return difference(gap, "module", why, _own_code(module, file, *evidence.bundle))
    remedy = f"Add the package that has it: envman add {evidence.environment} PACKAGE"
    return difference(gap, "module", f"the module {module} is not there", remedy)


def _own_code(module: str, file: str, bundle: str, folder: str) -> str:
    """How an environment gets a module of no package: by `shared`, if it is in a folder beside the bundle."""
    is_file = not file.endswith("/__init__.py") and file.endswith(".py")
    path = file.removesuffix("/__init__.py").removesuffix(".py")
    above = path.removesuffix(f"/{module.replace('.', '/')}")
    if above != path and module.count(".") >= is_file and f"{folder}/".startswith(f"{above}/"):
        shared = posixpath.relpath(f"{above}/{module.partition('.')[0]}", folder)
        return f'In envman.toml: [bundles] {bundle} = {{ ..., shared = ["{shared}"] }}; then: envman publish'
    return (
        "Put it into the bundle's folder, or into a folder beside it that the bundle names as `shared`; or "
        "build it into the environment: `sources` in its spec."
    )


def _version(gap: ProofGap, evidence: Evidence) -> ProofDifference:
    changes = sorted(evidence.changes, key=lambda one: (not _named(one, gap), one.package))
    if changes:
        listed = ", ".join(
            f"{one.package} {one.old or '(none)'} -> {one.new or '(none)'}" for one in changes[:5]
        )
        more = f" and {len(changes) - 5} more" if len(changes) > 5 else ""
        why = f"packages of other versions that the file loads: {listed}{more}"
        first = changes[0]
        remedy = "Look at it, and keep it if it is meant"
        if first.old and first.package not in _AIRFLOW:
            remedy += f"; or pin: envman add {evidence.environment} '{first.package}=={first.old}'"
        return difference(gap, "package", why, f"{remedy}.")
    old, new = evidence.pythons
    if old.split(".")[:2] != new.split(".")[:2]:
        remedy = "Look at it, and keep it if it is meant; or change requires-python."
        return difference(gap, "python", f"perhaps another Python: {old} -> {new}", remedy)
    return difference(gap, "", "", "Parse the file by hand on both sides, and look at what it depends on.")


def _named(change: VersionChange, gap: ProofGap) -> bool:
    """Whether a difference speaks of a package."""
    name = change.package.lower().replace("-", "_")
    text = f"{gap.path} {shown(gap.old)} {shown(gap.new)}" if gap.kind != PYTHON_WARNING else shown(gap.path)
    return name in text.lower().replace("-", "_").replace(".", "_")


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    return lines[-1]
