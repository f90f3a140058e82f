"""Read the bundles and their teams from Airflow's own configuration, without importing Airflow.

Follows Airflow 3: the environment variable wins over airflow.cfg, which stands at AIRFLOW_CONFIG, else in
AIRFLOW_HOME (default ~/airflow); `$NAME` and `~` in values are expanded. Where the option is set nowhere,
Airflow has one bundle, `dags-folder`.
"""

from __future__ import annotations

import os

from envman.errors import Problem, SpecError
from envman.resolver.resolve import AirflowBundles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SECTION = "dag_processor"
OPTION = "dag_bundle_config_list"
VARIABLE = "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"
AIRFLOW_DEFAULT = "dags-folder"
DEFAULT_ENTRY = {"name": AIRFLOW_DEFAULT, "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle"}
_REMEDY = "Write a JSON list of {name, classpath, kwargs, team_name}, as Airflow's documentation shows."


def read_airflow_bundles(environ: Mapping[str, str]) -> AirflowBundles:
    """The configured bundles; raises SpecError for a value that Airflow could not use either."""
    value, source = _configured(environ)
    if value is None:
        return AirflowBundles("Airflow's default configuration", {AIRFLOW_DEFAULT: None})
    return AirflowBundles(source, _teams(_entries(_expanded(value), source), source))


def read_bundle_entries(environ: Mapping[str, str]) -> list[dict[str, object]]:
    """The configured bundles as they are written, `$NAME` not replaced by what may be a secret.

    Raises SpecError for a value that is no list of bundles.
    """
    value, source = _configured(environ)
    if value is None:
        return [{**DEFAULT_ENTRY, "kwargs": {}}]
    entries = _entries(value, source)
    _teams(entries, source)
    return entries


def _configured(environ: Mapping[str, str]) -> tuple[str | None, str]:
    """The list of bundles as text, None where it is set nowhere, and where it stands."""
    if VARIABLE in environ:
        return environ[VARIABLE], VARIABLE
    path = _config_path(environ)
    return _option(path, SECTION, OPTION), f"{path}: [{SECTION}] {OPTION}"


def _config_path(environ: Mapping[str, str]) -> str:
    if path := environ.get("AIRFLOW_CONFIG"):
        return _expanded(path)
    return _expanded(environ.get("AIRFLOW_HOME") or "~/airflow") + "/airflow.cfg"


def is_on(environ: Mapping[str, str], section: str, option: str) -> bool:
    """Whether one of Airflow's switches is on; off where it is set nowhere."""
    value = read_option(environ, section, option)
    return (value or "").split("#")[0].strip().lower() in {"t", "true", "1", "on", "yes"}


def read_option(environ: Mapping[str, str], section: str, option: str) -> str | None:
    """The text of one of Airflow's options; None where it is set nowhere."""
    value = environ.get(f"AIRFLOW__{section.upper()}__{option.upper()}")
    return _option(_config_path(environ), section, option) if value is None else value


def _option(path: str, section: str, option: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(_unreadable(path, error)) from None
    if option not in text.lower():
        return None
    import configparser

    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise SpecError(_unreadable(path, error)) from None
    value = parser.get(section, option, fallback=None)
    return None if value is None else value.replace("%%", "%")


def _unreadable(path: str, error: Exception) -> Problem:
    what = f"Airflow's configuration can't be read: {str(error).splitlines()[0]}"
    return Problem(path, what, "Correct the file, or set AIRFLOW_CONFIG to the right one.")


def _entries(text: str, source: str) -> list[dict[str, object]]:
    """The list's items; raises SpecError unless each is a bundle with a name."""
    import json

    try:
        entries = json.loads(text.strip() or "[]")
    except ValueError as error:
        raise SpecError(Problem(source, f"not valid JSON: {error}", _REMEDY)) from None
    entries = entries if isinstance(entries, list) else [None]
    for index, entry in enumerate(entries):
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str):
            raise SpecError(Problem(f"{source}[{index}]", "is not a bundle with a name", _REMEDY))
    return entries


def _teams(entries: list[dict[str, object]], source: str) -> dict[str, str | None]:
    teams: dict[str, str | None] = {}
    for index, entry in enumerate(entries):
        name, team = str(entry["name"]), entry.get("team_name")
        if name in teams:
            raise SpecError(
                Problem(f"{source}[{index}]", f"a second bundle named '{name}'", "Give it another name.")
            )
        if team is not None and not isinstance(team, str):
            raise SpecError(Problem(f"{source}[{index}].team_name", "is not a string", _REMEDY))
        teams[name] = team
    return teams


def _expanded(text: str) -> str:
    return os.path.expanduser(os.path.expandvars(text))
