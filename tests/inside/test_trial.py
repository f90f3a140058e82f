"""What may crash, hang or never end is done in a fork, and nothing of it is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest

import envman
from tests.interpreters import MINORS, interpreter
from tests.stand_in import Watched

HOUSE = str(Path(envman.__file__).parents[1])
BEGIN = f"""
import ctypes, json, os, select, signal, sys, time
sys.path.insert(0, {HOUSE!r})
from envman.inside import trial

def told(work, limit=60.0):
    outcome = trial.attempt(work, limit)
    print(json.dumps([outcome.value, outcome.error, outcome.status, outcome.ending()]), flush=True)

def broken():
    raise RuntimeError("no key")

def family():
    below = os.fork() or time.sleep(1000)
    print(json.dumps([os.getpid(), below]), flush=True)
    time.sleep(1000)
"""


def started(minor: str, code: str) -> subprocess.Popen[str]:
    words = [interpreter(minor), "-I", "-B", "-c", BEGIN + textwrap.dedent(code)]
    return subprocess.Popen(words, env={}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def outcome(minor: str, work: str) -> list[Any]:
    with started(minor, f"told({work})") as process:
        assert process.stdout is not None
        return list(json.loads(process.stdout.read()))


@pytest.mark.parametrize("minor", MINORS)
def test_what_comes_of_it_is_told(minor: str) -> None:
    assert outcome(minor, "lambda: {'a': (1, None)}")[:3] == [{"a": [1, None]}, "", 0]
    assert outcome(minor, "broken")[:3] == [None, "RuntimeError: no key", 0]
    assert outcome(minor, "lambda: sys.exit(3)")[:3] == [None, "SystemExit: 3", 0]
    assert outcome(minor, "lambda: os._exit(3)")[1:] == ["", 3, " with exit status 3"]
    assert outcome(minor, "lambda: ctypes.string_at(0)")[1:] == ["", -signal.SIGSEGV, ": SIGSEGV"]
    assert outcome(minor, "lambda: os.kill(os.getpid(), 40)")[1:] == ["", -40, ": signal 40"]


CLOCK = """
from types import SimpleNamespace
begin = [0.0]
def monotonic():
    if begin:  # whoever watches may be quicker than the one who asks how late it is
        return begin.pop()
    return 1000.0 if select.select([0], [], [], 0)[0] else 0.0
trial.time = SimpleNamespace(monotonic=monotonic, sleep=time.sleep)
told(family)
"""
"""A limit that is reached as soon as standard input has something to read, or its end."""


@pytest.mark.parametrize("minor", MINORS)
def test_what_takes_too_long_is_killed_with_all_below_it(minor: str) -> None:
    with started(minor, CLOCK) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        watched = [Watched(pid) for pid in json.loads(process.stdout.readline())]
        process.stdin.close()
        assert json.loads(process.stdout.readline())[:3] == [None, "", None]
    assert all(one.has_ended() for one in watched)
    for one in watched:
        one.close()


@pytest.mark.parametrize("minor", MINORS)
def test_whoever_is_terminated_takes_its_fork_with_it(minor: str) -> None:
    with started(minor, "trial.end_with_forks()\ntold(family)") as process:
        assert process.stdout is not None
        watched = [Watched(pid) for pid in json.loads(process.stdout.readline())]
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
    assert all(one.has_ended() for one in watched)
    for one in watched:
        one.close()
