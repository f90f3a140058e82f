"""The lock's text: a requirements file with hashes, and a header that says what decided it.

`uv pip sync`, `pip install --require-hashes -r` and envman read the same text. It holds no URL and no index
host, so that it installs unchanged from any index, mirror or wheelhouse.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement
from packaging.utils import canonicalize_name

from envman.errors import LockError, Problem
from envman.spec.inputs import FORMAT, fingerprint
from envman.spec.requirement_text import parse_requirement

_HEADER = re.compile(r"# (?P<key>[a-z-]+)(?: (?P<label>[^:]+))?: (?P<value>\S+)")
_HASH = re.compile(r"--hash=(sha(?:256|384|512):[0-9a-f]+)")
_BUILT_WITH = re.compile(r"[a-z0-9][a-z0-9-]*==[A-Za-z0-9][A-Za-z0-9.+!_-]*")


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


@dataclass(frozen=True, order=True)
class LockedSource:
    """A package of a lock that is built from a folder of the project, which the path is relative to.

    `built_with` are what its build was made with, such as 'hatchling==1.27.0': another version of one of them
    may make other bytes.
    """

    name: str
    path: str
    built_with: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The same as lines of a lock's header, which `parse_header` reads."""
        place = quote(self.path, safe="/._-+@~", errors="surrogatepass")
        lines = [f"source {self.name}: {place}"]
        return [*lines, f"built-with {self.name}: {','.join(self.built_with)}"] if self.built_with else lines


@dataclass(frozen=True)
class Lock:
    """A lock: its environment, the digests of its inputs by label, its pins and its sources, both sorted."""

    environment: str
    inputs: Mapping[str, str]
    pins: tuple[Pin, ...]
    sources: tuple[LockedSource, ...] = ()

    @property
    def fingerprint(self) -> str:
        """The digest of everything that decided the lock."""
        return fingerprint(self.inputs, _built(self.sources))

    def own(self) -> dict[Pin, LockedSource]:
        """The pins that are built from sources, with those."""
        sources = {source.name: source for source in self.sources}
        return {pin: sources[pin.name] for pin in self.pins if pin.name in sources}

    def indexed(self) -> tuple[Pin, ...]:
        """The pins without those of sources: what an index may be asked for."""
        own = {source.name for source in self.sources}
        return tuple(pin for pin in self.pins if pin.name not in own)


def _built(sources: Iterable[LockedSource]) -> list[str]:
    return [line for source in sorted(sources) for line in source.lines()]


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
        *(f"# {line}" for line in _built(lock.sources)),
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
    sources: tuple[LockedSource, ...] = ()


def parse_header(text: str, file: str, environment: str) -> Header:
    """Read a lock's header; raises LockError where it is of another format, or the text was altered."""
    fields: dict[str, str] = {}
    inputs: dict[str, str] = {}
    sources: dict[str, LockedSource] = {}
    head, _, body = text.partition("\n\n")
    for line in head.splitlines():
        if line and not line.startswith("#"):
            break
        if (match := _HEADER.fullmatch(line)) is None:
            continue
        if match["key"] == "input" and match["label"]:
            inputs[match["label"]] = match["value"]
        elif match["key"] == "source" and match["label"]:
            sources[match["label"]] = LockedSource(match["label"], unquote(match["value"]))
        elif match["key"] == "built-with" and match["label"] in sources:
            wanted = tuple(match["value"].split(","))
            sources[match["label"]] = replace(sources[match["label"]], built_with=wanted)
        else:
            fields[match["key"]] = match["value"]
    remedy = f"Make it anew: envman lock {environment}"
    if fields.get("envman-lock") != FORMAT:
        found = fields.get("envman-lock")
        what = f"its format is {found}, not {FORMAT}" if found else "it has no header of an envman lock"
        raise LockError(Problem(file, what, remedy))
    built = [one for source in sources.values() for one in source.built_with]
    if fields.get("fingerprint") != fingerprint(inputs, _built(sources.values())) or not all(
        map(_BUILT_WITH.fullmatch, built)
    ):
        raise LockError(Problem(file, "its header does not match its fingerprint", remedy))
    if fields.get("pins") != _text_digest(body) or not all(
        line.startswith("#") for line in head.splitlines()
    ):
        raise LockError(Problem(file, "its pins were changed after it was made", remedy))
    named = fields.get("environment", "")
    return Header(named, fields["fingerprint"], fields["pins"], inputs, tuple(sorted(sources.values())))


def parse_lock(text: str, file: str, environment: str) -> Lock:
    """Read a whole lock; raises LockError naming the line that does not belong there."""
    header = parse_header(text, file, environment)
    pins = parse_pins(text, file, environment)
    for lost in {source.name for source in header.sources} - {pin.name for pin in pins}:
        what = f"it has a source of '{lost}', and no such package"
        raise LockError(Problem(file, what, f"Make it anew: envman lock {environment}"))
    return Lock(environment, header.inputs, pins, header.sources)


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
