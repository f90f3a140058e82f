"""Read Airflow's own configuration, its bundles above all, without importing Airflow.

Follows Airflow 3: the environment variable wins over airflow.cfg, which stands at AIRFLOW_CONFIG, else in
AIRFLOW_HOME (default ~/airflow); `$NAME` and `~` in values are expanded. Where the option is set nowhere,
Airflow has one bundle, `dags-folder`.
"""

from __future__ import annotations

import os

from envman.errors import Problem, SpecError
from envman.resolver.snapshot import AIRFLOW_DEFAULT, AirflowBundles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from configparser import RawConfigParser

SECTION = "dag_processor"
OPTION = "dag_bundle_config_list"
VARIABLE = "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"
LOCAL_BUNDLE = "airflow.dag_processing.bundles.local.LocalDagBundle"
DEFAULT_ENTRY: dict[str, object] = {"name": AIRFLOW_DEFAULT, "classpath": LOCAL_BUNDLE, "kwargs": {}}
"""What Airflow has where the list is set nowhere, and writes into the airflow.cfg that it makes."""
_REMEDY = "Write a JSON list of {name, classpath, kwargs, team_name}, as Airflow's documentation shows."


_SECRET_WORDS = (
    "key",
    "secret",
    "password",
    "token",
    "conn",
    "broker_url",
    "result_backend",
    "kwargs",
    "dsn",
)

LOCAL_SETTINGS = "airflow_local_settings"
"""The module that a deployment's policies are in."""


def remedy_of_local_settings(environment: str) -> str:
    """What to do where that module can't be imported, in the environment that is described."""
    return f"Every process of Airflow imports it: add what it needs to {environment}, too."


class AirflowConfiguration:
    """Airflow's options: variables, and a file that is read at most once, and only if it is needed.

    Every look-up raises SpecError where the file can't be read.
    """

    __slots__ = ("_environ", "_parser", "_text", "path")

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.path = _config_path(environ)
        self._text: str | None = None
        self._parser: RawConfigParser | None = None

    def bundles(self) -> AirflowBundles:
        """The configured bundles; raises SpecError for a value that Airflow could not use either."""
        value, source = self._bundle_list()
        if value is None:
            return AirflowBundles("Airflow's default configuration", {AIRFLOW_DEFAULT: None})
        return AirflowBundles(source, _teams(_entries(_expanded(value), source), source))

    def bundle_entries(self, expanded: bool = False) -> list[dict[str, object]]:
        """The configured bundles as they are written, `$NAME` not replaced by what may be a secret, unless it
        is to be `expanded`.

        Raises SpecError for a value that is no list of bundles.
        """
        value, source = self._bundle_list()
        if value is None:
            return [DEFAULT_ENTRY]
        entries = _entries(_expanded(value) if expanded else value, source)
        _teams(entries, source)
        return entries

    def local_folders(self) -> dict[str, str]:
        """The folders of bundles that are folders of this host. Raises SpecError as `bundle_entries` does."""
        folders = {}
        for entry in self.bundle_entries():
            kwargs = entry.get("kwargs")
            if entry.get("classpath") == LOCAL_BUNDLE and isinstance(kwargs, dict):
                path = kwargs.get("path") or self.option("core", "dags_folder")
                folders[str(entry["name"])] = _expanded(str(path)) if path else f"{_home(self._environ)}/dags"
        return folders

    def is_on(self, section: str, option: str) -> bool:
        """Whether one of Airflow's switches is on; off where it is set nowhere."""
        value = self.option(section, option)
        return (value or "").split("#")[0].strip().lower() in {"t", "true", "1", "on", "yes"}

    def option(self, section: str, option: str) -> str | None:
        """The text of one of Airflow's options; None where it is set nowhere."""
        value = self._environ.get(f"AIRFLOW__{section.upper()}__{option.upper()}")
        return self._of_file(section, option) if value is None else value

    def secrets_of_the_file(self) -> dict[str, str]:
        """Values in airflow.cfg that may be secrets by the names of their options, by `[section] option`."""
        if self._text is None:
            self._text = _read(self.path)
        parser = _parsed(self._text, self.path)
        return {
            f"[{section}] {option}": value.replace("%%", "%")
            for section in parser.sections()
            for option, value in parser.items(section)
            if value and any(word in option for word in _SECRET_WORDS)
        }

    def module_folders(self) -> tuple[str, str]:
        """The folders of modules that are everybody's: `config`, with the local settings, and the plugins."""
        home = _home(self._environ)
        plugins = self.option("core", "plugins_folder")
        return f"{home}/config", _expanded(plugins) if plugins else f"{home}/plugins"

    def _bundle_list(self) -> tuple[str | None, str]:
        """The list of bundles as text, None where it is set nowhere, and where it stands."""
        if VARIABLE in self._environ:
            return self._environ[VARIABLE], VARIABLE
        return self._of_file(SECTION, OPTION), f"{self.path}: [{SECTION}] {OPTION}"

    def _of_file(self, section: str, option: str) -> str | None:
        if self._text is None:
            self._text = _read(self.path)
        if option not in self._text.lower():  # the parser takes longer than all the rest of a launch
            return None
        if self._parser is None:
            self._parser = _parsed(self._text, self.path)
        value = self._parser.get(section, option, fallback=None)
        return None if value is None else value.replace("%%", "%")


def _config_path(environ: Mapping[str, str]) -> str:
    if path := environ.get("AIRFLOW_CONFIG"):
        return _expanded(path)
    return f"{_home(environ)}/airflow.cfg"


def _home(environ: Mapping[str, str]) -> str:
    return _expanded(environ.get("AIRFLOW_HOME") or "~/airflow")


def _read(path: str) -> str:
    """The file's text; empty where there is none."""
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(_unreadable(path, error)) from None


_latest: dict[str, RawConfigParser] = {}
"""The text that was parsed last: a component asks for each workload, and the file hardly ever changes."""


def _parsed(text: str, path: str) -> RawConfigParser:
    if text in _latest:
        return _latest[text]
    import configparser

    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise SpecError(_unreadable(path, error)) from None
    _latest.clear()
    _latest[text] = parser
    return parser


def _unreadable(path: str, error: Exception) -> Problem:
    what = f"Airflow's configuration can't be read: {str(error).splitlines()[0]}"
    return Problem(path, what, "Correct the file, or set AIRFLOW_CONFIG to the right one.")


def _entries(text: str, source: str) -> list[dict[str, object]]:
    """The list's items; raises SpecError unless each is a bundle with a name."""
    import json

    try:
        entries = json.loads(text.strip() or "[]")
    except (ValueError, RecursionError) as error:
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
