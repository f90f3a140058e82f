"""The lock's text: a requirements file with hashes, and a header that says what decided it.

`uv pip sync`, `pip install --require-hashes -r` and envman read the same text. It holds no URL and no index
host, so that it installs unchanged from any index, mirror or wheelhouse.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement
from packaging.utils import canonicalize_name

from envman.errors import LockError, Problem
from envman.spec.inputs import FORMAT, fingerprint
from envman.spec.requirement_text import parse_requirement

_HEADER = re.compile(r"# (?P<key>[a-z-]+)(?: (?P<label>[^:]+))?: (?P<value>\S+)")
_HASH = re.compile(r"--hash=(sha(?:256|384|512):[0-9a-f]+)")


@dataclass(frozen=True, order=True)
class Pin:
    """One package of a lock: normalized name (PEP 503), version, marker (PEP 508) and hashes of its files."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]

    def applies(self, marker_environment: Mapping[str, str]) -> bool:
        """Whether the package is installed under the interpreter that the marker environment describes."""
        return not self.marker or Marker(self.marker).evaluate(dict(marker_environment))


@dataclass(frozen=True)
class Lock:
    """A lock: its environment, the digests of its inputs by label, and its pins, sorted."""

    environment: str
    inputs: Mapping[str, str]
    pins: tuple[Pin, ...]

    @property
    def fingerprint(self) -> str:
        """The digest of everything that decided the lock."""
        return fingerprint(self.inputs)


def versions(pins: Iterable[Pin]) -> dict[str, tuple[str, ...]]:
    """Versions by package; a universal lock may hold several of one, for different markers."""
    found: dict[str, tuple[str, ...]] = {}
    for pin in pins:
        found[pin.name] = (*found.get(pin.name, ()), pin.version)
    return found


def body_digest(pins: tuple[Pin, ...]) -> str:
    """`sha256:` digest of what is installed, whatever the header says and the environment is called."""
    return _text_digest(pins_text(pins))


def _text_digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def render(lock: Lock, spec_file: str) -> str:
    """The lock as text, ending in a newline."""
    header = [
        f"# Made by `envman lock`. Don't edit: change {spec_file} and run `envman lock {lock.environment}`.",
        f"# envman-lock: {FORMAT}",
        f"# environment: {lock.environment}",
        f"# fingerprint: {lock.fingerprint}",
        f"# pins: {body_digest(lock.pins)}",
        *(f"# input {label}: {value}" for label, value in sorted(lock.inputs.items())),
    ]
    return "\n".join(header) + "\n\n" + pins_text(lock.pins)


def pins_text(pins: Iterable[Pin]) -> str:
    """Pins as a requirements file, sorted."""
    lines: list[str] = []
    for pin in sorted(pins):
        marker = f" ; {pin.marker}" if pin.marker else ""
        hashes = [f"    --hash={value}" for value in sorted(pin.hashes)]
        lines.append(" \\\n".join([f"{pin.name}=={pin.version}{marker}", *hashes]))
    return "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True)
class Header:
    """The comment lines above the pins; reading them does not parse the pins."""

    environment: str
    fingerprint: str
    pins: str
    inputs: Mapping[str, str]


def parse_header(text: str, file: str, environment: str) -> Header:
    """Read a lock's header; raises LockError where it is of another format, or the text was altered."""
    fields: dict[str, str] = {}
    inputs: dict[str, str] = {}
    head, _, body = text.partition("\n\n")
    for line in head.splitlines():
        if line and not line.startswith("#"):
            break
        if (match := _HEADER.fullmatch(line)) is None:
            continue
        if match["key"] == "input" and match["label"]:
            inputs[match["label"]] = match["value"]
        else:
            fields[match["key"]] = match["value"]
    remedy = f"Make it anew: envman lock {environment}"
    if fields.get("envman-lock") != FORMAT:
        found = fields.get("envman-lock")
        what = f"its format is {found}, not {FORMAT}" if found else "it has no header of an envman lock"
        raise LockError(Problem(file, what, remedy))
    if fields.get("fingerprint") != fingerprint(inputs):
        raise LockError(Problem(file, "its header does not match its fingerprint", remedy))
    if fields.get("pins") != _text_digest(body) or not all(
        line.startswith("#") for line in head.splitlines()
    ):
        raise LockError(Problem(file, "its pins were changed after it was made", remedy))
    return Header(fields.get("environment", ""), fields["fingerprint"], fields["pins"], inputs)


def parse_lock(text: str, file: str, environment: str) -> Lock:
    """Read a whole lock; raises LockError naming the line that does not belong there."""
    header = parse_header(text, file, environment)
    return Lock(environment, header.inputs, parse_pins(text, file, environment))


def parse_pins(text: str, file: str, environment: str) -> tuple[Pin, ...]:
    """Read pinned, hashed requirements, as uv or `render` writes them."""
    pins: list[Pin] = []
    for number, line in _joined_lines(text):
        requirement_text = _HASH.sub("", line).strip()
        pin = _pin(requirement_text, tuple(_HASH.findall(line)))
        if pin is None:
            what = "this line is not a pinned requirement with hashes"
            raise LockError(Problem(f"{file}:{number}", what, f"Make it anew: envman lock {environment}"))
        pins.append(pin)
    return tuple(sorted(pins))


def _pin(text: str, hashes: tuple[str, ...]) -> Pin | None:
    try:
        requirement = parse_requirement(text)
    except InvalidRequirement:
        return None
    versions = list(requirement.specifier)
    exact = len(versions) == 1 and versions[0].operator == "==" and not versions[0].version.endswith(".*")
    if not exact or not hashes or requirement.url is not None:
        return None
    marker = str(requirement.marker) if requirement.marker else ""
    return Pin(canonicalize_name(requirement.name), versions[0].version, marker, tuple(sorted(set(hashes))))


def _joined_lines(text: str) -> list[tuple[int, str]]:
    lines: list[tuple[int, str]] = []
    start, buffer = 0, ""
    for number, raw in enumerate(text.splitlines(), start=1):
        if not buffer and (not raw.strip() or raw.lstrip().startswith("#")):
            continue
        start = start if buffer else number
        buffer += " " + raw.rstrip("\\").strip()
        if not raw.endswith("\\"):
            lines.append((start, buffer.strip()))
            buffer = ""
    return [*lines, (start, buffer.strip())] if buffer else lines
