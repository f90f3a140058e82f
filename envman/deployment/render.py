"""Settings as text: variables for a shell, a .env file, and the sections of an airflow.cfg."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from enum import Enum

from envman.deployment.settings import AirflowSettings
from envman.errors import Problem, UsageError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class ConfigFormat(str, Enum):
    """How settings are written."""

    ENV = "env"
    CFG = "cfg"
    DOTENV = "dotenv"


def render(settings: AirflowSettings, how: ConfigFormat) -> str:
    """Settings as text; raises UsageError for a value that the format can't hold."""
    lines = [*_cfg(settings)] if how is ConfigFormat.CFG else [*_variables(settings, how)]
    return "".join(f"{line}\n" for line in lines)


def variables(settings: AirflowSettings) -> dict[str, str]:
    """All settings as environment variables."""
    return {**settings.variables, **{setting.variable: setting.value for setting in settings.options}}


def _variables(settings: AirflowSettings, how: ConfigFormat) -> Iterator[str]:
    problems: list[Problem] = []
    lines: list[str] = []
    for name, value in variables(settings).items():
        if _NAME.fullmatch(name) is None:
            remedy = "Rename the team, or take --format cfg."
            problems.append(Problem(name, "a shell has no variables of such a name", remedy))
        elif "\n" in value or (how is ConfigFormat.DOTENV and "'" in value):
            problems.append(Problem(name, f"{value!r} can't stand in a .env file", "Take --format cfg."))
        else:
            lines.append(
                f"export {name}={_quoted(value)}" if how is ConfigFormat.ENV else f"{name}='{value}'"
            )
    if problems:
        raise UsageError(problems)
    yield from lines
    for note in settings.notes:
        yield f"# {note}"


def _quoted(value: str) -> str:
    """Quoted for a shell, also where that isn't needed: it is easier to read."""
    quoted = shlex.quote(value)
    return quoted if quoted.startswith("'") or "'" in quoted else f"'{quoted}'"


def _cfg(settings: AirflowSettings) -> Iterator[str]:
    """The sections of an airflow.cfg; a percent sign stands doubled in it."""
    headings = dict.fromkeys(setting.heading for setting in settings.options)
    for heading in headings:
        yield f"[{heading}]"
        for setting in settings.options:
            if setting.heading == heading:
                yield f"{setting.option} = {setting.value.replace('%', '%%')}"
        yield ""
    for name, value in settings.variables.items():
        yield f"# Not an option of Airflow's, but a variable of every component: {name}={shlex.quote(value)}"
    for note in settings.notes:
        yield f"# {note}"
