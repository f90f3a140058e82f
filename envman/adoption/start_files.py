"""Find and read what starts a live Airflow's components: systemd units, a Compose file, Helm values."""

from __future__ import annotations

import os
import pwd
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from envman.adoption.start_commands import StartKind
from envman.errors import Problem, UsageError

_UNIT_FOLDERS = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
_COMPOSE_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
_LARGEST = 2**20
"""Bytes of a file that starts something."""


@dataclass(frozen=True)
class StartFile:
    """A file that may start components, and its text."""

    path: str
    kind: StartKind
    text: str


@dataclass(frozen=True)
class WantedStarts:
    """The files and folders that were given."""

    systemd: tuple[Path, ...]
    compose: tuple[Path, ...]
    helm_values: tuple[Path, ...]

    def __bool__(self) -> bool:
        return bool(self.systemd or self.compose or self.helm_values)


def given_files(wanted: WantedStarts) -> tuple[StartFile, ...]:
    """The files that were given; raises UsageError for all that can't be read, or hold no unit of Airflow."""
    found: list[StartFile] = []
    problems: list[Problem] = []
    for option, kind, paths in (
        ("--systemd", StartKind.SYSTEMD, wanted.systemd),
        ("--compose", StartKind.COMPOSE, wanted.compose),
        ("--helm-values", StartKind.HELM, wanted.helm_values),
    ):
        for path in paths:
            try:
                files = (
                    [*_units(path)] if path.is_dir() and kind is StartKind.SYSTEMD else [_read(path, kind)]
                )
            except (OSError, ValueError) as error:
                what = getattr(error, "strerror", None) or str(error)
                problems.append(Problem(f"{option} {path}", what, "Pass a file that this user can read."))
                continue
            if not files:
                what = "there is no unit here that mentions airflow"
                problems.append(
                    Problem(f"{option} {path}", what, "Pass the folder with the units, or a unit.")
                )
            found += files
    if problems:
        raise UsageError(problems)
    return tuple(found)


def usual_files(folders: Iterable[Path]) -> tuple[StartFile, ...]:
    """What starts Airflow in the usual places: units of the system and user, Compose files in `folders`."""
    found: dict[str, StartFile] = {}
    units = [*map(Path, _UNIT_FOLDERS), Path("~/.config/systemd/user").expanduser()]
    for folder in units:
        for unit in _units(folder):
            found.setdefault(os.path.realpath(unit.path), unit)
    for folder in folders:
        for name in _COMPOSE_NAMES:
            try:
                file = _read(folder / name, StartKind.COMPOSE)
            except (OSError, ValueError):
                continue
            if "airflow" in file.text:
                found.setdefault(os.path.realpath(file.path), file)
    return tuple(found.values())


def _units(folder: Path) -> Iterator[StartFile]:
    """The units of a folder that mention Airflow, and what is dropped in to them."""
    for path in sorted([*folder.glob("*.service"), *folder.glob("*.service.d/*.conf")]):
        try:
            unit = _read(path, StartKind.SYSTEMD)
        except (OSError, ValueError):
            continue
        if "airflow" in unit.text:
            yield unit


def _read(path: Path, kind: StartKind) -> StartFile:
    with path.open("rb") as stream:
        data = stream.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError("it is larger than 1 MB")
    try:
        return StartFile(str(path.absolute()), kind, data.decode())
    except UnicodeDecodeError:
        raise ValueError("it is no text in UTF-8") from None


def stated_executor(files: Iterable[StartFile]) -> str:
    """The executors that a Compose file or Helm values state: containers get them from there."""
    for file in files:
        if (form := _EXECUTOR.get(file.kind)) and (match := form.search(file.text)):
            return match[1]
    return ""


_EXECUTOR = {
    StartKind.COMPOSE: re.compile(
        r"""^\s*-?\s*AIRFLOW__CORE__EXECUTOR\s*[:=]\s*["']?([\w.,;=:]+)""", re.MULTILINE
    ),
    StartKind.HELM: re.compile(r"""^executor:\s*["']?([\w.,;=:]+)""", re.MULTILINE),
}


@dataclass(frozen=True)
class UnitVariables:
    """Airflow's variables of the units, what is to be said of them, and the names of all other variables."""

    variables: Mapping[str, str]
    notes: tuple[str, ...]
    others: tuple[str, ...] = ()


def unit_variables(files: Iterable[StartFile]) -> UnitVariables:
    """What units set for the components: by Environment=, EnvironmentFile= and User= (its home).

    Of several units the first one counts; a variable that another one sets otherwise is named.
    """
    found: dict[str, str] = {}
    notes: list[str] = []
    others: set[str] = set()
    for file in files:
        if file.kind is not StartKind.SYSTEMD:
            continue
        for name, value in _of_unit(file, notes).items():
            if not (name.startswith("AIRFLOW") or name in _ALSO):
                others.add(name)
            elif found.setdefault(name, value) != value:
                notes.append(
                    f"{file.path} sets {name} to something else than another unit: the first counts."
                )
    return UnitVariables(found, tuple(notes), tuple(sorted(others)))


def _of_unit(file: StartFile, notes: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in file.text.splitlines():
        key, _, value = line.strip().partition("=")
        key, value = key.strip(), value.strip()
        if key == "Environment":
            found |= _assignments(_words(value))
        elif key == "EnvironmentFile" and value:
            path = Path(value.lstrip("-"))
            try:
                text = path.read_text(encoding="utf-8")[:_LARGEST]
            except (OSError, UnicodeDecodeError):
                if not value.startswith("-"):
                    notes.append(f"{file.path}: its EnvironmentFile={path} can't be read by this user.")
                continue
            for assignment in text.splitlines():
                if not assignment.lstrip().startswith(("#", ";")):
                    found |= _assignments(_words(assignment)[:1])
        elif key == "User" and value:
            try:
                found["HOME"] = pwd.getpwnam(value).pw_dir
            except KeyError:
                continue
    return found


_ALSO = ("HOME", "PYTHONPATH")


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # a quote that does not end
        return text.split()


def _assignments(words: Iterable[str]) -> dict[str, str]:
    pairs = (word.partition("=") for word in words)
    return {name: value for name, sign, value in pairs if sign and name}
