"""Have a bundle's files parsed in an interpreter, and read what came of it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envman.deployment.environment_script import Inside, InsideError
from envman.errors import Problem
from envman.inside.protocol import RUN
from envman.proof.needless_operators import needless_uses
from envman.proof.parsed_file import FileParse, ParsePlace, ProofInterpreter, file_parse, interpreter_facts
from envman.proof.verdicts import NeedlessUse
from envman.system.processes import Processes

if TYPE_CHECKING:
    from envman.inside.reports import ProofRequest

SCRIPT = (RUN, "proof_parses")

SEEDS = ("1", "2")
"""Of the order of sets: the same in both interpreters, and another when a file is parsed again."""

PATIENCE = 60.0
"""Seconds that an interpreter has to say what it is."""

MOST_RESULTS = 2**30
"""Bytes of what is read of an interpreter's results."""

MOST_SOURCES = 5_000
MOST_SOURCE = 1_000_000

_NOT_LINKED = (".cfg", ".db", ".log", ".out", ".err", ".pid", ".generated", "-journal", "-wal", "-shm")


@dataclass(frozen=True)
class ProofSide:
    """One of the two interpreters for a bundle: the bundle's name there, where its files are, and its shared
    folders, which only envman knows.
    """

    inside: Inside
    bundle: str
    place: ParsePlace
    shared: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProofAsk:
    """What is asked of a side; `files` are relative to the part that counts, None: those that are found."""

    files: tuple[str, ...] | None = None
    parse: bool = True
    times: int = 1
    seed: str = SEEDS[0]
    packages: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    timeout: float | None = None


@dataclass
class ProofRun:
    """What a side said: its facts, the files that it finds, and the parses of each."""

    facts: ProofInterpreter
    listed: list[str] = field(default_factory=list)
    parses: dict[str, list[FileParse]] = field(default_factory=dict)


def run_side(
    side: ProofSide, asked: ProofAsk, processes: Processes, on_line: Callable[[str], None] | None = None
) -> ProofRun:
    """Parse; a file that ends the process which parses is that file's row, and the others go on.

    Raises InsideError where the interpreter gives no answer, whatever the files are.
    """
    run = ProofRun(interpreter_facts(None, ""))
    left = None if asked.files is None else [_whole(file, side) for file in asked.files]
    inside = replace(side.inside, variables={**side.inside.variables, "PYTHONHASHSEED": asked.seed})
    with tempfile.TemporaryDirectory(prefix="envman-proof-") as folder:
        Path(folder).chmod(0o711)  # for the environment's user
        while True:
            out = Path(folder, "results")
            out.write_bytes(b"")
            inside.give(out)
            request = _request(side, asked, left, out)
            try:
                timeout = PATIENCE if asked.files == () else None  # files have limits of their own
                answer = inside.ask(processes, SCRIPT, request, timeout=timeout, on_line=on_line)
            except InsideError as error:
                left = _after(error, _take(out, run, side), left, run, side)
                continue
            _take(out, run, side)
            run.facts = interpreter_facts(answer, side.place.home)
            return run


def _request(side: ProofSide, asked: ProofAsk, files: list[str] | None, out: Path) -> ProofRequest:
    return {
        "folder": side.place.folder,
        "bundle": side.bundle,
        "within": side.place.within,
        "files": files,
        "times": asked.times,
        "timeout": asked.timeout,
        "parse": asked.parse,
        "plugins": asked.files is None and asked.parse,
        "watch": bool(asked.times > 1),
        "packages": [*asked.packages],
        "modules": [*asked.modules],
        "shared": [*side.shared],
        "out": str(out),
    }


def _take(out: Path, run: ProofRun, side: ProofSide) -> str:
    """Read the results; returns the file that was begun and has none, if there is one."""
    if out.stat().st_size > MOST_RESULTS:
        what = f"its results are larger than {MOST_RESULTS} bytes"
        raise InsideError(Problem(side.inside.where, what, "Prove fewer bundles at once: --bundle BUNDLE"))
    begun = ""
    for line in _lines(out):
        if isinstance(line.get("listed"), list):
            run.listed = [_shown(one, side) for one in line["listed"] if isinstance(one, str)]
        elif isinstance(line.get("begun"), str):
            begun = line["begun"]
        elif isinstance(line.get("file"), str):
            begun = ""
            parse = file_parse(line, side.place)
            run.parses.setdefault(_shown(line["file"], side), []).append(parse)
    return begun


def _lines(out: Path) -> Iterator[Mapping[str, Any]]:
    """The lines that are objects of JSON; half a one is left out, as is whatever a file's code has added."""
    with out.open(encoding="utf-8", errors="replace") as stream:
        for text in stream:
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):
                continue
            if isinstance(line, dict):
                yield line


def _after(
    error: InsideError, begun: str, left: list[str] | None, run: ProofRun, side: ProofSide
) -> list[str]:
    """The files that are left, once one has ended the process; raises the error where none has."""
    files = [_whole(file, side) for file in run.listed] if left is None else left
    if begun not in files:
        raise error
    ended = "Parsing it ended the process that parses"
    run.parses.setdefault(_shown(begun, side), []).append(FileParse(ended=ended))
    return files[files.index(begun) + 1 :]


def _whole(file: str, side: ProofSide) -> str:
    return str(Path(side.place.within, file))


def _shown(file: str, side: ProofSide) -> str:
    return os.path.relpath(file, side.place.within)


def link_home(live: str, home: Path) -> None:
    """Let what stands in the live AIRFLOW_HOME be found in the throw-away one, but for its configuration,
    databases and logs.
    """
    try:
        found = sorted(Path(live).absolute().iterdir())
    except OSError:
        return
    for path in found:
        if path.name not in {"config", "logs"} and not path.name.endswith(_NOT_LINKED):
            Path(home, path.name).symlink_to(path)


def needless_below(folder: str) -> tuple[NeedlessUse, ...]:
    """Operators below a folder that a bundle's own environment makes needless; links are not followed."""
    found: list[NeedlessUse] = []
    for file in _sources(folder):
        try:
            with file.open("rb") as stream:
                text = stream.read(MOST_SOURCE)
        except OSError:
            continue
        if b"irtualenv" in text or b"xternal" in text:
            found += needless_uses(text, os.path.relpath(file, folder))
    return tuple(found)


def _sources(folder: str) -> Iterator[Path]:
    count = 0
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__" and not name.startswith("."))
        for name in sorted(files):
            path = Path(where, name)
            if name.endswith(".py") and count < MOST_SOURCES and path.is_file():
                count += 1
                yield path
