"""What keeps the values of the shell's variables out of a proof's report. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from envman.errors import printable
from envman.resolver.airflow_options import HANDED_ON
from envman.resolver.inherited import PREFIX, SYSTEM, option_of
from envman.resolver.variables import matches
from envman.system.redaction import redact

SHORTEST = 4
"""Characters of a value that is hidden: what is shorter is in every text."""

_WORDS = {"airflow", "dags", "default", "false", "none", "null", "python", "true"}
"""Values that hide nothing, and would hide what a report says: many a deployment's database is `airflow`."""

_LONG = 8
"""From so many on a value is hidden inside of words, too."""

_SHOWN = (*SYSTEM, "AIRFLOW_HOME", "AIRFLOW_CONFIG", "AIRFLOW_UID", "PWD", "OLDPWD", "SHLVL", "_", "ENVMAN_*")
"""Variables whose values are no secrets: those of the machine, and where things are."""

_SECRET_KEY = re.compile("pass|secret|token|key|extra|credential", re.IGNORECASE)

ValueT = TypeVar("ValueT")


class Veil:
    """Hides the values of variables, and those of Airflow's options that are secrets (`of_airflow`), behind
    their names, in whatever is shown.
    """

    def __init__(self, environ: Mapping[str, str], of_airflow: Mapping[str, str] | None = None) -> None:
        secrets: dict[str, str] = {}
        for name, value in (of_airflow or {}).items():
            secrets.update((one, name) for one in _secrets(value) if len(one) >= _LONG)
        for name, value in sorted(environ.items()):
            if not _is_shown(name):
                for one in _secrets(value):
                    if len(one) >= SHORTEST and one.lower() not in _WORDS:
                        secrets.setdefault(one, name)
        self._names = secrets
        parts = [_pattern(secret) for secret in sorted(secrets, key=lambda one: (-len(one), one))]
        self._pattern = re.compile("|".join(parts)) if parts else None

    def text(self, text: str) -> str:
        """A text without these values, without passwords of URLs, and without control characters."""
        if self._pattern:
            text = self._pattern.sub(lambda found: f"${{{self._names[found[0]]}}}", text)
        return printable(redact(text).encode("utf-8", "backslashreplace").decode())

    def value(self, value: ValueT) -> ValueT:
        """The same of a dataclass, or a tuple, and all that is in it."""
        veiled: Any = value
        if isinstance(value, str):
            veiled = self.text(value)
        elif isinstance(value, tuple):
            veiled = tuple(self.value(one) for one in value)
        elif is_dataclass(value) and not isinstance(value, type):
            changed = {one.name: self.value(getattr(value, one.name)) for one in fields(value)}
            veiled = replace(value, **changed)
        return veiled  # type: ignore[no-any-return]


def _is_shown(name: str) -> bool:
    if name.startswith(PREFIX):
        return option_of(name) in HANDED_ON
    if name.endswith("_VERSION"):
        return True
    return matches(name, _SHOWN) and not name.lower().endswith("_proxy")


def _secrets(value: str) -> Iterator[str]:
    """What of a variable's value may be a secret: it, a password in its URL, strings in its JSON."""
    yield value
    try:
        password = urlsplit(value).password
    except ValueError:
        password = None
    if password:
        yield from (password, unquote(password))
    if value.lstrip().startswith("{"):
        try:
            yield from _strings(json.loads(value), False)
        except (ValueError, RecursionError):
            return


def _strings(value: Any, secret: bool) -> Iterator[str]:
    if isinstance(value, dict):
        for name, one in value.items():
            yield from _strings(one, secret or bool(_SECRET_KEY.search(name)))
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one, secret)
    elif isinstance(value, str) and secret:
        yield value


def _pattern(secret: str) -> str:
    quoted = re.escape(secret)
    return quoted if len(secret) >= _LONG else rf"(?<!\w){quoted}(?!\w)"
