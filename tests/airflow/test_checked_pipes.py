"""The door's place between a child's sockets and Airflow's readers, and the way back to the child."""

from __future__ import annotations

import contextlib
import importlib
import selectors
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from envman.door.frames import Frames
from envman.door.lines import Lines
from envman.door.rules import ALONE, MEBIBYTE, Allowance, Rule
from tests.airflow.client_side import LIBRARIES, forget
from tests.stand_in import write_modules

NAMES = ("envman.airflow.checked_pipes",)


@pytest.fixture
def pipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    write_modules(tmp_path / "modules", LIBRARIES)
    monkeypatch.syspath_prepend(tmp_path / "modules")
    forget(NAMES)
    yield importlib.import_module(NAMES[0])
    forget(NAMES)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The component's end, and the child's."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(60)
    yield ours, theirs
    ours.close()
    theirs.close()


class Reader:
    """As one of Airflow's: it takes what it is given, some bytes at a time, and says at the end that it is."""

    def __init__(self, fail: Callable[[bytes], bool] = lambda _: False, size: int = 7) -> None:
        self.heard = b""
        self.ended = False
        self._fail = fail
        self._size = size

    def __call__(self, pipe: Any) -> bool:
        buffer = bytearray(self._size)
        count = pipe.recv_into(buffer)
        self.ended = not count
        self.heard += bytes(buffer[:count])
        if self._fail(self.heard):
            raise TypeError("of Airflow's")
        return bool(count)


def checked(pipes: Any, read: Any, filter_: Any, rule: Rule = ALONE) -> tuple[Any, list[str]]:
    failures: list[str] = []
    return pipes.CheckedPipe(read, filter_, Allowance(rule, 0.0), failures.append), failures


def test_the_reader_gets_what_is_let_through(pipes: Any, ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    read = Reader()
    pipe, failures = checked(pipes, read, Lines(1000, bytes.upper))
    theirs.sendall(b"one\ntwo\nthr")
    assert pipe(ours)
    assert read.heard == b"ONE\nTWO\n"
    theirs.sendall(b"ee")
    theirs.close()
    assert pipe(ours)
    assert not pipe(ours)
    assert (read.heard, read.ended, failures) == (b"ONE\nTWO\nTHREE\n", True, [])


def test_a_breach_ends_the_child_and_nothing_more_is_read(
    pipes: Any, ends: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = ends
    read = Reader()
    pipe, failures = checked(pipes, read, Frames(10))
    theirs.sendall(b"\xff\xff\xff\xff and more")
    assert not pipe(ours)
    assert not pipe(ours)
    assert read.heard == b""
    assert len(failures) == 1
    assert failures[0].startswith("a request of 4,294,967,295 bytes")


def test_whatever_a_reader_raises_ends_the_child(
    pipes: Any, ends: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = ends
    pipe, failures = checked(pipes, Reader(lambda heard: b"bad" in heard), Lines(1000))
    theirs.sendall(b"fine\nbad\nmore\n")
    assert not pipe(ours)
    assert failures == ["what it has sent could not be handled: TypeError: of Airflow's"]


@pytest.mark.parametrize("error", [BrokenPipeError, ConnectionResetError, KeyboardInterrupt, SystemExit])
def test_what_is_not_the_childs_doing_is_not_taken_for_it(
    pipes: Any, ends: tuple[socket.socket, socket.socket], error: type[BaseException]
) -> None:
    def read(_: Any) -> bool:
        raise error

    ours, theirs = ends
    pipe, failures = checked(pipes, read, Lines(1000))
    theirs.sendall(b"line\n")
    with pytest.raises(error):
        pipe(ours)
    assert failures == []


def test_half_a_request_stalls_until_it_goes_on(
    pipes: Any, ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(pipes.time, "monotonic", lambda: now[0])
    ours, theirs = ends
    ours.setblocking(False)
    pipe, _ = checked(pipes, Reader(), Frames(10))
    frame = b"\0\0\0\x03abc"
    for part, stalls in ((frame[:2], 7.0), (frame[2:6], 7.0), (frame[6:], 0.0), (frame, 0.0)):
        theirs.sendall(part)
        with contextlib.suppress(BlockingIOError):
            while pipe(ours):
                pass
        now[0] += 7
        assert pipe.stalls() == stalls
    lines, _ = checked(pipes, Reader(), Lines(1000))
    theirs.sendall(b"half a line")
    assert lines(ours)
    now[0] += 7
    assert lines.stalls() == 0.0


def test_a_flood_is_a_breach(pipes: Any, ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    theirs.setblocking(False)
    rule = Rule(request=1, values=0, output=MEBIBYTE, line=1, answer=1.0)
    pipe, failures = checked(pipes, Reader(size=100_000), Lines(100_000), rule)
    rounds = 0
    more = True
    while more:
        with contextlib.suppress(BlockingIOError):
            theirs.send(b"x" * 60_000)
        more = pipe(ours)
        rounds += 1
    assert failures == ["more than 1 MiB of output within 10 s"]
    assert rounds < 400


def test_many_short_lines_are_a_breach_too(pipes: Any, ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    rule = Rule(request=1, values=0, output=MEBIBYTE, line=1, answer=1.0)
    pipe, failures = checked(pipes, Reader(size=100_000), Lines(100_000), rule)
    theirs.sendall(b"\n" * 3000)
    assert not pipe(ours)
    assert len(failures) == 1


def test_a_byte_out_of_band_is_not_waited_for(pipes: Any, ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    read = Reader()
    pipe, failures = checked(pipes, read, Lines(1000))
    with contextlib.suppress(OSError):  # where the kernel has none, there is nothing to read either
        theirs.send(b"x", socket.MSG_OOB)
    assert pipe(ours)
    ours.setblocking(False)
    with pytest.raises(BlockingIOError):
        pipe(ours)
    assert (read.heard, failures) == (b"", [])


# the way back


@pytest.fixture
def selector(ends: tuple[socket.socket, socket.socket]) -> Iterator[selectors.BaseSelector]:
    """It has the component's end, with a reader as Airflow registers it."""
    with selectors.DefaultSelector() as made:
        made.register(ends[0], selectors.EVENT_READ, ("the reader", "what closes it"))
        yield made


def serve(selector: selectors.BaseSelector) -> list[str]:
    """As a component's loop does; returns the readers whose turn it was."""
    read = []
    for key, _ in selector.select(0):
        handle, on_close = key.data
        assert on_close == "what closes it"
        if handle == "the reader":
            read.append(handle)
        else:
            assert handle(key.fileobj)
    return read


def test_an_answer_that_is_read_goes_at_once(
    pipes: Any, ends: tuple[socket.socket, socket.socket], selector: selectors.BaseSelector
) -> None:
    answers = pipes.AnswerQueue(ends[0], selector)
    answers.sendall(b"answer")
    assert ends[1].recv(100) == b"answer"
    assert answers.waits() == 0
    assert answers.fileno() == ends[0].fileno()


def test_an_answer_that_is_not_read_waits_and_no_request_is_read_meanwhile(
    pipes: Any, ends: tuple[socket.socket, socket.socket], selector: selectors.BaseSelector
) -> None:
    ours, theirs = ends
    answers = pipes.AnswerQueue(ours, selector)
    content = bytes(range(256)) * 10_000
    answers.sendall(content)
    answers.sendall(b"the end")
    assert answers.waits() > 0
    theirs.sendall(b"another request")
    assert serve(selector) == []
    heard = b""
    while not heard.endswith(b"the end"):
        heard += theirs.recv(100_000)
        serve(selector)
    assert heard == content + b"the end"
    assert answers.waits() == 0
    assert serve(selector) == ["the reader"]


def test_what_waits_for_a_child_that_has_gone_is_a_broken_pipe(
    pipes: Any, ends: tuple[socket.socket, socket.socket], selector: selectors.BaseSelector
) -> None:
    ours, theirs = ends
    answers = pipes.AnswerQueue(ours, selector)
    answers.sendall(b"x" * 10_000_000)
    theirs.close()
    ((key, _),) = selector.select(0)
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        key.data[0](ours)


def test_an_answer_to_a_child_that_has_gone_is_given_up(
    pipes: Any, ends: tuple[socket.socket, socket.socket], selector: selectors.BaseSelector
) -> None:
    ours, theirs = ends
    with selectors.DefaultSelector() as another:
        unregistered = pipes.AnswerQueue(ours, another)
        unregistered.sendall(b"x" * 10_000_000)
    theirs.close()
    gone = pipes.AnswerQueue(ours, selector)
    gone.sendall(b"answer")
    assert (unregistered.waits(), gone.waits()) == (0, 0)
