"""The owner of children and signals, in this process: real children, real signals."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from envman.errors import InterruptedByUserError
from envman.system import child_process, children
from envman.system.child_process import Finished
from envman.system.children import CHILDREN
from envman.system.process_table import is_alive
from envman.system.processes import Processes
from envman.system.waiting import LockHeldError, take_lock

NEVER = 10_000.0


@pytest.fixture
def announced(tmp_path: Path) -> Path:
    """A pipe that a child writes to; whoever reads it waits for that."""
    path = tmp_path / "announced"
    os.mkfifo(path)
    return path


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test sees to its end did not end since some seconds had gone."""
    monkeypatch.setattr(children, "TERMINATION_GRACE", NEVER)


def shell(script: str, **how: float) -> Finished:
    return Processes().run(["/bin/sh", "-c", script], {"PATH": "/usr/bin:/bin"}, "/", **how)


def afterwards(*steps: Callable[[], object]) -> threading.Thread:
    """Do one thing after the other beside the test."""

    def work() -> None:
        for step in steps:
            step()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def send(signum: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), signum)


def is_there(pid: str) -> bool:
    return is_alive(os.getpgid(int(pid))) if Path(f"/proc/{int(pid)}").exists() else False


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda one: one.name)
def signum(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield request.param
    assert {one: signal.getsignal(one) for one in before} == before
    assert not CHILDREN.interrupted


@pytest.mark.usefixtures("patient")
def test_a_signal_ends_the_child_that_the_main_thread_waits_for(
    announced: Path, signum: signal.Signals
) -> None:
    pids: list[str] = []
    thread = afterwards(lambda: pids.append(announced.read_text()), send(signum))
    with pytest.raises(InterruptedByUserError) as error, CHILDREN.owned():
        shell(f"echo $$ > {announced}; exec sleep {NEVER}")
    thread.join()
    assert error.value.exit_code == 128 + signum
    assert not is_there(pids[0])


@pytest.mark.usefixtures("patient")
def test_another_signal_kills_what_does_not_listen(announced: Path) -> None:
    script = f"trap 'echo asked > {announced}' TERM; echo started > {announced}; while :; do sleep 1; done"
    first, again = send(signal.SIGINT), send(signal.SIGINT)
    thread = afterwards(announced.read_text, first, announced.read_text, again)
    with pytest.raises(InterruptedByUserError) as error, CHILDREN.owned():
        shell(script)
    thread.join()
    assert error.value.exit_code == 128 + signal.SIGINT


def test_what_a_child_has_started_is_killed_if_it_stays(
    announced: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "TERMINATION_GRACE", 0.3)
    pids: list[str] = []
    thread = afterwards(lambda: pids.append(announced.read_text()), send(signal.SIGTERM))
    deaf = announced.with_name("deaf.sh")
    deaf.write_text(f"trap '' TERM\necho $$ > {announced}\nwhile :; do sleep 1; done\n")
    with pytest.raises(InterruptedByUserError), CHILDREN.owned():
        shell(f"sh {deaf} & wait")
    thread.join()
    assert not is_there(pids[0])


def test_whoever_works_meanwhile_hears_of_it_where_it_looks_and_nowhere_else() -> None:
    reached = []

    def work() -> None:
        signal.raise_signal(signal.SIGTERM)
        reached.append("after the signal")
        try:
            CHILDREN.look()
        finally:
            signal.raise_signal(signal.SIGINT)
            reached.append("after another one in the clean-up")

    with pytest.raises(InterruptedByUserError) as error, CHILDREN.owned():
        work()
    assert error.value.exit_code == 128 + signal.SIGTERM
    assert reached == ["after the signal", "after another one in the clean-up"]


def test_a_signal_that_nobody_has_looked_for_counts_at_the_end() -> None:
    with pytest.raises(InterruptedByUserError) as error, CHILDREN.owned():
        signal.raise_signal(signal.SIGHUP)
    assert error.value.exit_code == 128 + signal.SIGHUP


def test_no_child_starts_any_more(tmp_path: Path) -> None:
    def work() -> None:
        signal.raise_signal(signal.SIGINT)
        shell(f"echo > {tmp_path}/started")

    with pytest.raises(InterruptedByUserError), CHILDREN.owned():
        work()
    assert not (tmp_path / "started").exists()


def test_nobody_waits_for_a_lock_any_more(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with path.open("w") as held, path.open("w") as wanted:
        fcntl.flock(held, fcntl.LOCK_EX)
        inode = f":{path.stat().st_ino} "

        def until_somebody_waits() -> None:
            while not any(
                "->" in one and inode in one for one in Path("/proc/locks").read_text().splitlines()
            ):
                pass

        thread = afterwards(until_somebody_waits, send(signal.SIGINT))
        with pytest.raises(InterruptedByUserError), CHILDREN.owned():
            take_lock(wanted.fileno(), path)
        thread.join()


def test_a_lock_that_becomes_free_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with path.open("w") as wanted, path.open("w") as other:
        with path.open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            thread = threading.Thread(target=take_lock, args=(wanted.fileno(), path))
            thread.start()
        thread.join()
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_lock_is_waited_for_with_patience_and_not_taken_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with path.open("w") as wanted, path.open("w") as other:
        with path.open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            threads = {*threading.enumerate()}
            with pytest.raises(LockHeldError, match=rf"by process {os.getpid()} \("):
                take_lock(wanted.fileno(), path, 0.05)
            (waits,) = {*threading.enumerate()} - threads
        waits.join()
        wanted.close()
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("ignored", [signal.SIGINT, signal.SIGHUP])
def test_what_was_ignored_stays_so_for_children_too(ignored: signal.Signals) -> None:
    """As under nohup, and in a shell's job in the background."""
    before = signal.signal(ignored, signal.SIG_IGN)
    try:
        with CHILDREN.owned():
            signal.raise_signal(ignored)
            assert shell(f"kill -{int(ignored)} $$; echo alive").stdout == "alive\n"
    finally:
        signal.signal(ignored, before)


@pytest.mark.usefixtures("patient")
def test_an_error_of_whoever_reads_ends_the_child() -> None:
    def on_line(_line: str) -> None:
        raise BrokenPipeError("nobody reads it")

    script = f"echo first >&2; exec sleep {NEVER}"
    with pytest.raises(BrokenPipeError, match="nobody"):
        Processes().run(["/bin/sh", "-c", script], {"PATH": "/usr/bin:/bin"}, "/", on_line=on_line)


@pytest.mark.usefixtures("patient")
def test_an_error_of_the_command_ends_its_children(announced: Path) -> None:
    pids: list[str] = []

    def other_thread() -> None:
        with contextlib.suppress(InterruptedByUserError):
            shell(f"echo $$ > {announced}; exec sleep {NEVER}")

    thread = threading.Thread(target=other_thread)

    def command() -> None:
        thread.start()
        pids.append(announced.read_text())
        raise ValueError("of the command")

    with pytest.raises(ValueError, match="of the command"), CHILDREN.owned():
        command()
    thread.join()
    assert not is_there(pids[0])


def test_a_child_that_takes_too_long_is_killed_with_what_it_started(announced: Path) -> None:
    pids: list[str] = []
    thread = afterwards(lambda: pids.append(announced.read_text()))
    finished = shell(f"echo started; (echo $$ > {announced}; exec sleep {NEVER}) & wait", timeout=3)
    thread.join()
    assert finished.exit_code == 128 + signal.SIGKILL
    assert not is_there(pids[0])


def test_a_child_that_leaves_somebody_behind_who_holds_its_output_is_not_waited_for(
    announced: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_process, "LINGER", 0.1)
    pids: list[str] = []
    thread = afterwards(lambda: pids.append(announced.read_text()))
    with CHILDREN.owned():
        finished = shell(f"echo said; (echo $$ > {announced}; sleep {NEVER}) & exit 3")
    thread.join()
    assert (finished.exit_code, finished.stdout) == (3, "said\n")
    assert not is_there(pids[0])


def test_one_that_has_gone_into_a_session_of_its_own_is_not_waited_for_either(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(child_process, "LINGER", 0.1)
    held = tmp_path / "held"
    os.mkfifo(held)
    with CHILDREN.owned():
        finished = shell(f"setsid sh -c 'read line < {held}' & exit 3")
    assert finished.exit_code == 3
    held.write_text("go\n")
