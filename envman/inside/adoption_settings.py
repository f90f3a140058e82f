"""Read Airflow's configuration without Airflow: what was asked for by name leaves this process, else nothing.

Follows Airflow's order: the variable AIRFLOW__SECTION__OPTION, then airflow.cfg. `_CMD` and `_SECRET` are for
options that are sensitive: neither is run, and none of these options is asked for.
"""

from __future__ import annotations

import configparser
import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from envman.inside.reports import LiveBundleReport, SettingReport

LOCAL_BUNDLE = "airflow.dag_processing.bundles.local.LocalDagBundle"
WITHHELD = "(withheld)"

_SECRET_WORDS = ("pass", "pwd", "secret", "token", "private", "credential", "key", "auth", "login")
_ENDINGS = ("_CMD", "_SECRET")
_PREFIX = "AIRFLOW__"
_MOST = 16 * 2**20
"""Bytes of airflow.cfg that are read."""


def shown(text: str) -> str:
    """A text, if there is no URL with a user or password in it."""
    return WITHHELD if "://" in text and "@" in text else text


class Settings:
    """Airflow's options; `problem` says why its file can't be read, and is empty where it can."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.home = _expanded(environ.get("AIRFLOW_HOME") or "~/airflow")
        chosen = environ.get("AIRFLOW_CONFIG")
        self.file = _expanded(chosen) if chosen else os.path.join(self.home, "airflow.cfg")
        self.problem = ""
        self._parser = configparser.RawConfigParser(strict=False)
        self._read()

    def _read(self) -> None:
        try:
            with open(self.file, encoding="utf-8") as stream:
                text = stream.read(_MOST + 1)
            if len(text) > _MOST:
                self.problem = "it is larger than 16 MB"
            else:
                self._parser.read_string(text)
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError) as error:
            self.problem = getattr(error, "strerror", None) or "it is no text in UTF-8"
        except configparser.Error as error:  # its text shows the line, which may hold a secret
            self.problem = (
                f"it is no configuration ({type(error).__name__}, line {getattr(error, 'lineno', '?')})"
            )

    def told(self, options: Iterable[tuple[str, str]]) -> tuple[list[SettingReport], list[SettingReport]]:
        """The options that were asked for and are set; and the places alone of all other variables."""
        found: list[SettingReport] = []
        asked = set()
        for section, option in options:
            asked.add(_variable(section, option))
            value, place = self._option(section, option)
            if value is not None:
                found.append({"section": section, "option": option, "value": shown(value), "place": place})
        others = sorted(name for name in self._environ if name.startswith(_PREFIX) and name not in asked)
        others = [name for name in others if name != _variable("dag_processor", "dag_bundle_config_list")]
        return found, [_place(name) for name in others]

    def path(self, section: str, option: str) -> str:
        """An option that is a path, with `$NAME` and `~` replaced; empty where it is not set."""
        value, _ = self._option(section, option)
        return os.path.abspath(_expanded(value)) if value else ""

    def is_on(self, section: str, option: str, otherwise: bool) -> bool:
        """Whether a switch is on; `otherwise` is what counts where it is set nowhere."""
        value, _ = self._option(section, option)
        if value is None:
            return otherwise
        return value.split("#")[0].strip().lower() in {"t", "true", "1", "on", "yes"}

    def _option(self, section: str, option: str) -> tuple[str | None, str]:
        name = _variable(section, option)
        if name in self._environ:
            return self._environ[name], name
        value = self._parser.get(section, option, fallback=None)
        place = f"{self.file}: [{section}] {option}"
        return (None if value is None else value.replace("%%", "%")), place

    def bundles(self) -> list[LiveBundleReport]:
        """The Dag bundles; one for the Dag folder where none are configured, as in Airflow.

        Of a bundle's arguments those are left out that may hold a secret; `$NAME` in them is not replaced.
        """
        text, place = self._option("dag_processor", "dag_bundle_config_list")
        dags = self.path("core", "dags_folder") or os.path.join(self.home, "dags")
        if text is None or not text.strip():
            entry = {"name": "dags-folder", "classpath": LOCAL_BUNDLE, "kwargs": {}}
            return [_bundle(entry, "Airflow's default", dags)]
        try:
            listed = json.loads(text)
        except (ValueError, RecursionError):
            self.problem = self.problem or f"{place} is no JSON, so no bundle is known"
            return []
        if not isinstance(listed, list):
            self.problem = self.problem or f"{place} is no list, so no bundle is known"
            return []
        if not all(isinstance(entry, dict) and isinstance(entry.get("name"), str) for entry in listed):
            self.problem = self.problem or f"{place} has an entry that is no bundle with a name"
        return [_bundle(entry, place, dags) for entry in listed if isinstance(entry, dict)]


def _bundle(entry: dict[str, Any], place: str, dags: str) -> LiveBundleReport:
    arguments = entry.get("kwargs")
    arguments = arguments if isinstance(arguments, dict) else {}
    classpath = str(entry.get("classpath") or "")
    path = ""
    if classpath == LOCAL_BUNDLE:
        path = os.path.abspath(_expanded(str(arguments.get("path") or dags)))
    kept = {str(key): value for key, value in arguments.items() if not _may_be_secret(key, value)}
    return {
        "name": str(entry.get("name") or ""),
        "classpath": classpath,
        "path": path,
        "arguments": {} if path else kept,
        "withheld": [] if path else sorted({str(key) for key in arguments} - kept.keys()),
        "team": str(entry.get("team_name") or ""),
        "place": place,
    }


def _may_be_secret(key: Any, value: Any) -> bool:
    """Whether an argument looks like a secret, by its name or by a URL with a user in it."""
    if any(word in str(key).lower() for word in _SECRET_WORDS):
        return True
    if isinstance(value, dict):
        return any(_may_be_secret(inner, item) for inner, item in value.items())
    if isinstance(value, list):
        return any(_may_be_secret("", item) for item in value)
    return isinstance(value, str) and shown(value) == WITHHELD


def _place(variable: str) -> SettingReport:
    """A variable as the option that it sets, without its value."""
    section, _, option = variable[len(_PREFIX) :].partition("__")
    for ending in _ENDINGS:
        if option.endswith(ending):
            option = option[: -len(ending)]
    return {"section": section.lower(), "option": option.lower(), "value": "", "place": variable}


def _variable(section: str, option: str) -> str:
    return f"{_PREFIX}{section.replace('.', '_').upper()}__{option.upper()}"


def _expanded(text: str) -> str:
    return os.path.expanduser(os.path.expandvars(text))
