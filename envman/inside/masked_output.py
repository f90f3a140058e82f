"""What this process and its children print, without the secrets that files hold.

A process of its own reads all that comes on standard output and error, and writes it on with `***` in the
place of each secret, also of one that comes in two pieces.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

SENSITIVE = (
    *("password", "passwd", "passphrase", "secret", "token", "apikey", "api_key", "private_key"),
    *("authorization", "credential", "keyfile_dict", "service_account", "signature", "connection_string"),
)
"""What the name of a secret has in it; of a Connection all of its URI and its password are secret, too."""

SHORTEST = 3
"""Characters: what is shorter would be found everywhere."""

SHORTEST_LINE = 8
"""Characters of a line of a secret that has several, such as a private key."""

HIDDEN = b"***"


def read(path: str) -> dict[str, Any]:
    """The values of a file with Connections or Variables, by name: `.env`, JSON or YAML, by its ending."""
    with open(path, encoding="utf-8") as stream:
        text = stream.read()
    ending = path.rpartition(".")[2].lower()
    if ending == "env":
        lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        return {name: value for name, _, value in (line.partition("=") for line in lines)}
    # YAML's parser comes with Airflow
    found = json.loads(text) if ending == "json" else importlib.import_module("yaml").safe_load(text)
    return found if isinstance(found, dict) else {}


def of_connections(values: dict[str, Any]) -> set[str]:
    """The secrets of Connections."""
    found: set[str] = set()
    for value in values.values():
        for one in value if isinstance(value, list) else [value]:
            found |= _of_connection(one)
    return found


def _of_connection(value: Any) -> set[str]:
    if isinstance(value, str):
        decoded = _decoded(value)
        return _of_connection(decoded) if isinstance(decoded, dict) else _of_uri(value)
    found = _sensitive(value)
    if isinstance(value, dict):
        found |= _leaves(value.get("password"))
        found |= _of_uri(value["uri"]) if isinstance(value.get("uri"), str) else set()
        for name in ("extra", "extra_dejson"):
            found |= _sensitive(_decoded(value.get(name)))
    return found


def _of_uri(uri: str) -> set[str]:
    found = {uri}
    try:
        parts = urlsplit(uri)
        if parts.password:
            found |= {parts.password, unquote(parts.password)}
        for name, value in parse_qsl(parts.query):
            found |= _sensitive({name: value}) | _sensitive(_decoded(value))
    except ValueError:  # the whole is a secret, whatever it is
        pass
    return found


def of_variables(values: dict[str, Any]) -> set[str]:
    """The secrets of Variables: those whose names say so, and such parts of those that hold JSON."""
    return _sensitive({name: _decoded(value) for name, value in values.items()}) | {
        value for name, value in values.items() if _is_sensitive(name) and isinstance(value, str)
    }


def _is_sensitive(name: Any) -> bool:
    lowered = str(name).lower().replace("-", "_")
    return any(word in lowered for word in SENSITIVE)


def _sensitive(value: Any) -> set[str]:
    found: set[str] = set()
    if isinstance(value, dict):
        for name, inner in value.items():
            found |= _leaves(inner) if _is_sensitive(name) else _sensitive(inner)
    elif isinstance(value, list):
        for inner in value:
            found |= _sensitive(inner)
    return found


def _leaves(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {leaf for inner in value.values() for leaf in _leaves(inner)}
    if isinstance(value, list):
        return {leaf for inner in value for leaf in _leaves(inner)}
    return set() if value is None or isinstance(value, bool) else {str(value)}


def _decoded(value: Any) -> Any:
    """A text that is a JSON object or list, as what it is."""
    if isinstance(value, str) and value.lstrip()[:1] in {"{", "["}:
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


class Mask:
    """Hides secrets in bytes that come in pieces."""

    def __init__(self, secrets: set[str]) -> None:
        written = {form for secret in secrets for form in _forms(secret)}
        self._forms = sorted(written, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, self._forms))) if written else None
        self._held = b""

    def masked(self, data: bytes, last: bool = False) -> bytes:
        """What may be written by now; what could be a secret's beginning is held back, but at the end."""
        data = self._held + data
        self._held = b""
        if self._pattern is None:
            return data
        if not last:
            cut = self._beginning(data)
            for match in self._pattern.finditer(data):
                if match.start() < cut < match.end():  # its end may begin another one
                    cut = match.start()
            data, self._held = data[:cut], data[cut:]
        return self._pattern.sub(HIDDEN, data)

    def _beginning(self, data: bytes) -> int:
        """Where a secret begins, at the end of the data, that may go on in what comes next."""
        for start in range(max(0, len(data) - len(self._forms[0]) + 1), len(data)):
            tail = data[start:]
            if any(form.startswith(tail) and form != tail for form in self._forms):
                return start
        return len(data)


def _forms(secret: str) -> set[bytes]:
    """How a secret may be written: as it is, in JSON, in a URL, as Python shows it; and each of its lines."""
    lines = [line.strip() for line in secret.splitlines()] if "\n" in secret else []
    found: set[bytes] = set()
    for text in [secret, *(line for line in lines if len(line) >= SHORTEST_LINE)]:
        if len(text) >= SHORTEST:
            shown = (text, json.dumps(text)[1:-1], quote(text, safe=""), quote(text), repr(text)[1:-1])
            found |= {form.encode("utf-8", "surrogateescape") for form in shown}
    return found


def hidden(text: str, secrets: set[str]) -> str:
    """A text without secrets: what is told in another way than by printing it."""
    data = Mask(secrets).masked(text.encode("utf-8", "surrogateescape"), last=True)
    return data.decode("utf-8", "surrogateescape")


def mask(secrets: set[str]) -> int:
    """Have all that is printed from now on go through a process that hides these; returns its process ID.

    It ends once nobody has standard output and error open any more.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        _relay(reading, Mask(secrets))
    os.close(reading)
    os.dup2(writing, 1)
    os.dup2(writing, 2)
    os.close(writing)
    return child


def _relay(reading: int, secrets: Mask) -> None:
    try:
        while data := os.read(reading, 65536):
            _write(secrets.masked(data))
        _write(secrets.masked(b"", last=True))
    finally:
        os._exit(0)


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(2, data) :]
