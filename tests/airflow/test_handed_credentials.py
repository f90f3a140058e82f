"""Credentials from a component to its workload: the server is real, Airflow a stand-in."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from envman.resolver.credential import COMMAND, FILE, Credential
from tests.airflow.client_side import Component
from tests.stand_in import LIMIT, Watched, descriptors_of
from tests.waiting import until

SECRET = "s3cret-of-the-tests"
TELL = "import os; tell([os.environ.get('TOKEN'), target])"


def of_file(path: Path) -> Credential:
    return Credential("token", FILE, (str(path),), "TOKEN", False)


def of_command(folder: Path, text: str) -> Credential:
    path = folder / "command"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return Credential("token", COMMAND, (str(path),), "TOKEN", False)


class Begun:
    """A workload that was begun as `BundleProcess.start` begins one."""

    def __init__(self, component: Component, entry: str, **changed: Any) -> None:
        child_start: Any = importlib.import_module("envman.airflow.child_start")
        self.masked: list[Any] = []
        pairs = [socket.socketpair() for _ in range(4)]
        self.requests, _, self.stderr, self.log = (pair[0] for pair in pairs)
        component.ends += [pair[0] for pair in pairs]
        interpreter = component.interpreter(**changed)
        component.interpreters.remove(interpreter)  # it is closed once the child is there, or can't be
        start = child_start.Start(entry, "bundle_a", lambda _: interpreter)
        try:
            self.tracker, self.handed = child_start._begun(
                interpreter, start, [pair[1].fileno() for pair in pairs], self.masked.append
            )
        finally:
            for pair in pairs:
                pair[1].close()
        if hasattr(self.tracker, "look"):
            component.children.append(self.tracker)
            self.tracker.look(LIMIT)  # as the component's loop does
        self.requests.settimeout(LIMIT)

    def run(self, code: str) -> Any:
        with contextlib.suppress(BrokenPipeError):
            self.requests.sendall(json.dumps(code).encode() + b"\n")
        try:
            return json.loads(self.requests.makefile("rb").readline() or b'"it has ended"')
        except ConnectionResetError:  # it has not read what it was sent
            return "it has ended"

    def wait(self) -> int:
        return int(until(lambda: [self._status()] if self._status() is not None else [], "it goes on")[0])

    def _status(self) -> int | None:
        try:
            return int(self.tracker.wait(0))
        except Exception as error:
            if type(error).__name__ != "TimeoutExpired":
                raise
            return None


@pytest.fixture(params=[True, False], ids=["warm", "cold"])
def warm(request: pytest.FixtureRequest) -> Iterator[bool]:
    return request.param


def test_each_workload_gets_what_is_there_as_it_starts(
    component: Component, warm: bool, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    for text in ("first", "second"):
        path.write_text(text + "\n")
        begun = Begun(component, "parse", warm=warm, credentials=(of_file(path),))
        assert begun.run(TELL) == [text, "parse"]
        assert begun.masked == [text]
        assert begun.wait() == 0


@pytest.mark.parametrize("entry", ["parse", "task"])
def test_what_can_not_be_read_ends_that_workload_with_a_sentence(
    component: Component, warm: bool, tmp_path: Path, entry: str
) -> None:
    path = tmp_path / "token"
    begun = Begun(component, entry, warm=warm, credentials=(of_file(path),))
    sentence = f"environment 'env_a': credential 'token': {path} can't be read: No such file or directory"
    line = json.loads(begun.log.makefile("rb").readline())
    assert line["event"].startswith(sentence)
    assert begun.handed.problem == line["event"]
    assert begun.run(TELL) == "it has ended"
    assert begun.wait() == 1
    path.write_text(SECRET)
    again = Begun(component, entry, warm=warm, credentials=(of_file(path),))
    assert again.run(TELL) == [SECRET, entry]


@pytest.mark.parametrize("entry", ["parse", "task", "triggers"])
def test_a_command_that_takes_its_time_keeps_nobody_else_waiting(
    component: Component, warm: bool, tmp_path: Path, entry: str
) -> None:
    """The next workload has started and ended before it is told to go on."""
    go_on = tmp_path / "go on"
    os.mkfifo(go_on)
    slow = of_command(tmp_path, f"cat '{go_on}'; echo {SECRET}")
    (tmp_path / "token").write_text("quick")
    waits = Begun(component, entry, warm=warm, credentials=(slow,))
    quick = Begun(component, entry, warm=warm, credentials=(of_file(tmp_path / "token"),))
    assert quick.run(TELL) == ["quick", entry]
    assert quick.wait() == 0
    assert waits.masked == []
    go_on.write_text("")
    assert waits.run(TELL) == [SECRET, entry]
    assert waits.masked == [SECRET]


def test_a_workload_that_is_ended_meanwhile_is_not_missed(component: Component, tmp_path: Path) -> None:
    go_on = tmp_path / "go on"
    os.mkfifo(go_on)
    slow = of_command(tmp_path, f"cat '{go_on}'; echo {SECRET}")
    begun = Begun(component, "parse", credentials=(slow,))
    watched = Watched(begun.tracker.pid)
    begun.tracker.send_signal(signal.SIGKILL)
    assert watched.has_ended()
    watched.close()
    assert begun.wait() == -signal.SIGKILL
    go_on.write_text("")
    until(lambda: begun.masked == [SECRET], "the command did not end")


def test_where_no_server_can_be_had_an_interpreter_gets_them(component: Component, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(SECRET)
    component.break_it()
    begun = Begun(component, "task", credentials=(of_file(tmp_path / "token"),))
    component.mend_it()
    assert begun.run(TELL) == [SECRET, "task"]


def test_a_component_keeps_no_descriptor_and_no_thread(
    component: Component, warm: bool, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(SECRET)
    before = None
    for _ in range(10):
        begun = Begun(component, "parse", warm=warm, credentials=(of_file(tmp_path / "token"),))
        assert begun.run(TELL) == [SECRET, "parse"]
        assert begun.wait() == 0
        with contextlib.suppress(AttributeError):
            begun.tracker.close()
        for _ in range(4):
            component.ends.pop().close()
        before = before or descriptors_of(os.getpid())
        assert descriptors_of(os.getpid()) == before
    until(lambda: not [one for one in threading.enumerate() if one.name == "credentials"], "a thread is left")


def test_where_no_thread_can_be_had_nothing_starts(
    component: Component, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_thread)
    before = descriptors_of(os.getpid())
    with pytest.raises(OSError, match="can't start new thread"):
        Begun(component, "parse", credentials=(of_file(tmp_path / "token"),))
    for _ in range(4):
        component.ends.pop().close()
    assert descriptors_of(os.getpid()) <= before


LINES = [f"line {number:04}" for number in range(1000)]


@pytest.mark.parametrize(
    ("secrets", "texts"),
    [
        (["one-word"], ["one-word"]),
        (["first line\nnext\nthird line"], ["first line\nnext\nthird line", "first line", "third line"]),
        (['{"token": "abc"}'], ['{"token": "abc"}', {"token": "abc"}]),
        (["[1, 2]"], ["[1, 2]", [1, 2]]),
        (['["a-token"]', '"quoted"'], ['["a-token"]', '"quoted"', ["a-token"], "quoted"]),
        (["[" * 100_000], ["[" * 100_000]),
        (["first\nsecond", "a token"], ["first\nsecond", "a token", "first", "second"]),
        (["\n".join(LINES), "a token"], ["\n".join(LINES), "a token", *LINES[:300]]),
        (["same line\nsame line", "same line\n\n"], ["same line\nsame line", "same line\n\n", "same line"]),
        ([json.dumps(LINES)], [json.dumps(LINES), LINES[:300]]),
    ],
)
def test_what_a_log_masks(component: Component, secrets: list[str], texts: list[Any]) -> None:
    assert component
    assert importlib.import_module("envman.airflow.handed_credentials").masked(secrets) == texts
