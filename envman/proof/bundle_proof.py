"""Prove one bundle: compare what both interpreters gave, and ask again where they differ."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from envman.proof.gaps import ABSENT, ERROR, FILE, PLUGIN, PRESENT, ProofGap, gaps
from envman.proof.parse_runs import SEEDS, ProofAsk, ProofRun, ProofSide, needless_below
from envman.proof.parsed_file import FileParse
from envman.proof.reasons import Evidence, difference, explained, missing_modules
from envman.proof.verdicts import ProofDifference, ProvedBundle, ProvedFile, VersionChange, verdict

Ask = Callable[[ProofSide, ProofAsk], ProofRun]

MOST_LISTED = 100
"""Differences of a file that a proof lists: first those that are not harmless."""

_OF_THE_PROOF = {"PATH", "VIRTUAL_ENV", "AIRFLOW_HOME", "PYTHONHASHSEED", "SHLVL", "PYTHONPATH"}
"""Variables that differ since there are two interpreters."""

_EVERYBODYS = {"/", "/usr", "/usr/local"}
"""Folders of an interpreter that much else is in."""

_COLLAPSED = re.compile(r"[-_.]+")


@dataclass(frozen=True)
class ProofPair:
    """A bundle and its two sides; `inner` are folders in its own that are other bundles'."""

    bundle: str
    environment: str
    generation: str
    old: ProofSide
    new: ProofSide
    timeout: float | None = None
    inner: tuple[str, ...] = ()

    def is_own(self, file: str) -> bool:
        """Whether a file, by its path in the bundle's folder, is this bundle's to be proved."""
        return not any(file.startswith(f"{folder}/") for folder in self.inner)


@dataclass(frozen=True)
class _Runs:
    """The first parses, whether Dags are compared as a whole, and which packages differ."""

    old: ProofRun
    new: ProofRun
    whole: bool
    changes: tuple[VersionChange, ...]

    def both(self, file: str) -> tuple[FileParse, FileParse] | None:
        """A file's parses; None where only one side finds it."""
        if file in self.old.parses and file in self.new.parses:
            return self.old.parses[file][0], self.new.parses[file][0]
        return None

    def files(self) -> list[str]:
        return sorted(self.old.parses.keys() | self.new.parses.keys())


def proved_bundle(pair: ProofPair, old: ProofRun, new: ProofRun, ask: Ask) -> ProvedBundle:
    """Judge each file that is in no other bundle's folder; `ask` has those that differ parsed again."""
    inner = tuple(one for one in pair.inner if any(file.startswith(f"{one}/") for file in new.parses))
    old, new = (
        replace(run, parses={file: parses for file, parses in run.parses.items() if pair.is_own(file)})
        for run in (old, new)
    )
    changes = package_changes(old.facts.packages, new.facts.packages)
    runs = _Runs(old, new, _is_whole(old, new), changes)
    found = _differences(pair, runs, ask)
    return ProvedBundle(
        bundle=pair.bundle,
        folder=pair.new.place.within,
        old_folder=pair.old.place.folder,
        environment=pair.environment,
        generation=pair.generation,
        python=new.facts.python,
        airflow=new.facts.airflow,
        compared="all" if runs.whole else "core",
        files=tuple(_file(file, runs, found[file]) for file in runs.files()),
        plugins=found[""],
        packages=changes,
        inner=inner,
        needless=tuple(use for use in needless_below(pair.new.place.within) if pair.is_own(use.file)),
    )


def package_changes(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[VersionChange, ...]:
    """Packages that differ, by their names; those that only one interpreter has, too."""
    before, now = ({_canonical(name): (name, version) for name, version in one.items()} for one in (old, new))
    changes = []
    for key in sorted(before.keys() | now.keys()):
        (name, was), (other, is_now) = before.get(key, ("", None)), now.get(key, ("", None))
        if was != is_now:
            changes.append(VersionChange(name or other, was, is_now))
    return tuple(changes)


def _canonical(name: str) -> str:
    return _COLLAPSED.sub("-", name).lower()


def _is_whole(old: ProofRun, new: ProofRun) -> bool:
    """Whether both serialize Dags in one form."""
    forms = [
        {parse.serialization for parses in run.parses.values() for parse in parses} - {""}
        for run in (old, new)
    ]
    return old.facts.minor == new.facts.minor and (not all(forms) or forms[0] == forms[1])


def _differences(pair: ProofPair, runs: _Runs, ask: Ask) -> dict[str, tuple[ProofDifference, ...]]:
    """Of each file, and of the plugins under an empty name."""
    pairs = {file: both for file in runs.files() if (both := runs.both(file))}
    differing = [file for file, both in pairs.items() if gaps(*both, runs.whole)]
    plugins = (FileParse(errors=runs.old.facts.plugins), FileParse(errors=runs.new.facts.plugins))
    asked = ProofAsk(
        files=tuple(differing),
        times=2,
        seed=SEEDS[1],
        packages=tuple(change.package for change in runs.changes),
        modules=tuple(sorted(_missing([runs.new.parses[file][0] for file in differing] + [plugins[1]]))),
        timeout=pair.timeout,
    )
    again = ask(pair.old, asked) if differing or asked.modules else ProofRun(runs.old.facts)
    pairs |= _second_chances(pair, [file for file in differing if pairs[file][1].ended], pairs, ask)
    known = {file: _evidence(pair, runs, again, file) for file in [*differing, ""]}
    found = {file: explained(*pairs[file], known[file]) for file in differing}
    open_files = [file for file in differing if any(not one.harmless for one in found[file])]
    for file, parse in _narrow(pair, open_files, ask).items():
        found[file] = explained(*pairs[file], replace(known[file], narrow=parse))
    found[""] = tuple(replace(one, kind=PLUGIN) for one in explained(*plugins, known[""]))
    single = {file: _one_side(file, runs) for file in runs.files() if file not in pairs}
    return dict.fromkeys(runs.files(), ()) | single | found


def _second_chances(
    pair: ProofPair, files: list[str], pairs: Mapping[str, tuple[FileParse, FileParse]], ask: Ask
) -> dict[str, tuple[FileParse, FileParse]]:
    """Parses of files that ended in the environment, once more: the machine may have been busy."""
    run = ask(pair.new, ProofAsk(files=tuple(files), timeout=pair.timeout)) if files else None
    return {file: (pairs[file][0], run.parses[file][0]) for file in files if run and file in run.parses}


def _narrow(pair: ProofPair, files: list[str], ask: Ask) -> dict[str, FileParse]:
    """Parses in the live interpreter with the variables that the environment's workloads get."""
    variables = _variables_of_the_environment(pair)
    if not files or variables == dict(pair.old.inside.variables):
        return {}
    narrow = replace(pair.old, inside=replace(pair.old.inside, variables=variables))
    run = ask(narrow, ProofAsk(files=tuple(files), timeout=pair.timeout))
    return {file: run.parses[file][0] for file in files if file in run.parses}


def _one_side(file: str, runs: _Runs) -> tuple[ProofDifference, ...]:
    """Of a file that only one of the two Dag processors would parse."""
    old = file in runs.old.parses
    gap = ProofGap(FILE, "", "", PRESENT if old else ABSENT, ABSENT if old else PRESENT)
    whose = "the live Airflow" if old else "the environment"
    remedy = "Look at .airflowignore files, in folders above the bundle's, too."
    return (difference(gap, "listing", f"only {whose} finds Dags in it", remedy),)


def _missing(parses: Iterable[FileParse]) -> set[str]:
    return {module for parse in parses for module in missing_modules(parse.errors.values())}


def _evidence(pair: ProofPair, runs: _Runs, again: ProofRun, file: str) -> Evidence:
    parses = again.parses.get(file, [])
    loaded = {package for parse in parses for package in parse.loaded}
    read = {name for parse in parses for name in parse.read}
    outside = {module: path for parse in parses for module, path in parse.modules.items()}
    return Evidence(
        again=parses,
        variables=sorted(read & _other_variables(pair)),
        folders=_folders(pair, runs),
        changes=tuple(one for one in runs.changes if one.package in loaded),
        pythons=(runs.old.facts.python, runs.new.facts.python),
        versions={one.package: one.old for one in runs.changes if one.old},
        owners=again.facts.owners,
        own=again.facts.own,
        outside=outside,
        environment=pair.environment,
        bundle=(pair.bundle, pair.old.place.within),
        whole=runs.whole,
    )


def _folders(pair: ProofPair, runs: _Runs) -> dict[str, str]:
    """What paths may begin with on either side, and the word for it."""
    own = {folder: "the interpreter" for run in (runs.old, runs.new) for folder in run.facts.folders}
    bundles = dict.fromkeys((pair.old.place.within, pair.new.place.within), "the bundle's folder")
    return {
        folder: word for folder, word in {**own, **bundles}.items() if folder.rstrip("/") not in _EVERYBODYS
    }


def _other_variables(pair: ProofPair) -> set[str]:
    """The variables that the environment's workloads get otherwise than the live Airflow, or not at all."""
    old, new = pair.old.inside.variables, pair.new.inside.variables
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)} - _OF_THE_PROOF


def _variables_of_the_environment(pair: ProofPair) -> dict[str, str]:
    """Those that the environment's workloads get, for the live interpreter."""
    old, new = pair.old.inside.variables, pair.new.inside.variables
    kept = {name: value for name, value in new.items() if name not in _OF_THE_PROOF}
    return kept | {name: value for name, value in old.items() if name in _OF_THE_PROOF}


def _file(file: str, runs: _Runs, found: tuple[ProofDifference, ...]) -> ProvedFile:
    old, new = (side.parses.get(file, [FileParse()])[0] for side in (runs.old, runs.new))
    harmful = {one.path for one in found if one.kind == ERROR and not one.harmless}
    same = [text for name, text in new.errors.items() if name in old.errors and name not in harmful]
    same += [new.ended] if new.ended and new.ended == old.ended else []
    return ProvedFile(
        file=file,
        verdict=verdict(found),
        dags=tuple(sorted(old.dags.keys() | new.dags.keys())),
        old_seconds=old.seconds if file in runs.old.parses else None,
        new_seconds=new.seconds if file in runs.new.parses else None,
        same_errors=tuple(same),
        differences=tuple(sorted(found, key=lambda one: one.harmless)[:MOST_LISTED]),
        more=max(0, len(found) - MOST_LISTED),
    )
