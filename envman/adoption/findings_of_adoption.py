"""What is to be said of a live Airflow before it is taken over, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from envman.adoption.found_airflow import FoundAirflow, FoundFolder
from envman.adoption.project_text import bundle_sources, counted, platform_of
from envman.adoption.start_commands import ChangedFile
from envman.adoption.start_diff import shows_secrets
from envman.adoption.todays_versions import TodaysVersions

_SHOWN = 5


def notes(live: FoundAirflow, today: TodaysVersions, starts: Iterable[ChangedFile]) -> tuple[str, ...]:
    """Sentences, each with what was found and what to do about it."""
    return (
        *_of_versions(live, today),
        *_of_configuration(live),
        *(note for folder in live.folders for note in _of_folder(folder)),
        *_of_everybodys_code(live),
        *_of_starts(starts),
    )


def _of_versions(live: FoundAirflow, today: TodaysVersions) -> Iterator[str]:
    for left in today.left_out:
        yield f"{left.name} {left.version} is left out: {left.origin}. {left.remedy}."
    for one in today.contradictions:
        yield f"{one.words()}. An override keeps it so."
    for doubt in today.doubts:
        yield f"{doubt.name} {doubt.version}: {doubt.why}."
    for sentence in today.wrong_python:
        here = live.python.version
        yield f"{sentence}: no lock can hold it. Take it out, or choose a version for Python {here}."
    if not platform_of(live.python):
        yield f"A spec has no name for the platform {live.python.platform}: the lock is for the usual ones."
    if live.requirements:
        places = _listed(live.requirements)
        yield f"Requirements are stated in {places}: the spec has what is installed, which may be more."
    if live.pip_configuration:
        places = _listed(live.pip_configuration)
        yield f"pip has its indexes from {places}: if one is the company's, put it in uv.toml."


def _of_configuration(live: FoundAirflow) -> Iterator[str]:
    if "bundle_config_list" in live.problem.lower():
        yield f"{live.problem}: mend it, and adopt again into a new folder."
    elif live.problem:
        place = live.configuration or "airflow.cfg"
        yield f"{place} can't be read: {live.problem}. Run this as a user who can, or mend it."
    elif not live.configuration and not live.withheld:
        remedy = "set AIRFLOW_HOME as the components have it."
        yield f"There is no airflow.cfg in {live.home}, and no variable: {remedy}"
    for name, _, note in bundle_sources(live.bundles):
        if note:
            yield f"The bundle '{name}': {note}."
    if live.python_path:
        yield (
            f"PYTHONPATH is {':'.join(live.python_path)}: environments don't get it. Put what is there into "
            "the project, and name its folder in the spec, as `sources`; or keep it beside the Dags."
        )
    if configured := live.setting("logging", "logging_config_class"):
        yield f"[logging] logging_config_class is {configured}: its module has to be in the environment, too."
    if backend := live.setting("secrets", "backend"):
        yield f"[secrets] backend is {backend}: workloads ask it themselves only where you say so."


def _of_folder(folder: FoundFolder) -> Iterator[str]:
    where = folder.folder
    if not folder.is_there:
        yield f"{where} is not on this machine: its Dags were not looked at."
        return
    if folder.beside:
        yield (
            f"{where}: files import modules beside them: {counted(folder.beside)}. That works as before; a "
            'bundle that is split off later names such a folder in envman.toml: shared = ["../common"].'
        )
    if folder.archives:
        yield f"{where}: archives, which Airflow looks into: {_listed(folder.archives)}."
    if folder.links:
        yield f"{where}: links, which lead to the same place in a parse: {_listed(folder.links)}."
    if folder.unreadable:
        first = next(iter(folder.unreadable.items()))
        count = len(folder.unreadable)
        yield f"{where}: {count} files can't be read as Python, such as {first[0]}: {first[1]}."
    if folder.truncated:
        yield f"{where}: it has more files than are looked at; what is said of it is not all."


def _of_everybodys_code(live: FoundAirflow) -> Iterator[str]:
    if live.plugins:
        yield f"{live.plugins_folder}: plugins, which each environment imports: {_listed(live.plugins)}."
    if packages := (*live.that_provide("airflow.plugins"), *live.that_provide("airflow.policy")):
        yield f"Plugins and policies of packages: {_listed(packages)}."
    if live.local_settings:
        places = _listed(live.local_settings)
        yield f"airflow_local_settings, which each process of Airflow imports: {places}."


def _of_starts(starts: Iterable[ChangedFile]) -> Iterator[str]:
    for one in starts:
        if one.by_hand:
            yield f"{one.path}: {', '.join(one.by_hand)} may start a component: change that by hand."
        if one.old != one.new and shows_secrets(one):
            what = "a line that changes may hold a secret, so it is not in the diff"
            yield f"{one.path}: {what}: change it by hand."


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
