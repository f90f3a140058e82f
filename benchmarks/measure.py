"""Measure commands from outside: whole processes, wall and CPU time, the rivals taking turns."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

_LEFT_OUT = ("PYTHON", "ENVMAN_", "AIRFLOW", "VIRTUAL_ENV", "CONDA_")
"""Variables by their beginnings: they would make one side's start slower, or lead it elsewhere."""


@dataclass(frozen=True)
class Sample:
    """One run: seconds on the clock, and seconds of processor time of it and everything that it started."""

    wall: float
    cpu: float


Action = Callable[[], Sample]
Command: TypeAlias = "Sequence[str | Path]"


def clean_environment(**variables: str) -> dict[str, str]:
    """The variables of this process without what would favour one side, plus the given ones."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_LEFT_OUT)}
    return {**kept, **variables}


def run(
    command: Command,
    environment: Mapping[str, str],
    folder: Path,
    on_line: Callable[[str], None] | None = None,
    codes: Collection[int] = (0,),
) -> Sample:
    """Run a command to its end; `on_line` gets its lines of standard error.

    Raises RuntimeError where it ends with another exit code than these, with what it said.
    """
    with tempfile.TemporaryFile("w+") as told:
        started = time.perf_counter()
        child = subprocess.Popen(
            [str(word) for word in command],
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if on_line else told,
            text=True,
        )
        if on_line and child.stderr:
            for line in child.stderr:
                on_line(line.rstrip("\n"))
            child.stderr.close()
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode not in codes:
            told.seek(0)
            raise RuntimeError(
                f"exit code {child.returncode}: {shlex.join(map(str, command))}\n{told.read()}"
            )
    return Sample(wall, usage.ru_utime + usage.ru_stime)


def action(command: Command, environment: Mapping[str, str], folder: Path) -> Action:
    """A command to be run later, any number of times."""
    return lambda: run(command, environment, folder)


def loop(commands: Iterable[Command], environment: Mapping[str, str], folder: Path) -> Action:
    """Commands run one after the other, as a shell script would, counted as one."""
    listed = list(commands)

    def together() -> Sample:
        samples = [run(command, environment, folder) for command in listed]
        return Sample(sum(sample.wall for sample in samples), sum(sample.cpu for sample in samples))

    return together


def take_turns(actions: Mapping[str, Action], rounds: int, warm_up: int = 2) -> dict[str, list[Sample]]:
    """Run all actions in each round, A B A B, so that a busy minute of the machine hits all of them alike.

    The rounds of the warm-up are not counted: they fill caches and write bytecode.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in actions}
    for number in range(warm_up + rounds):
        for name, act in actions.items():
            sample = act()
            if number >= warm_up:
                samples[name].append(sample)
    return samples
