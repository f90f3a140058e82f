"""What the door leaves to the component's own code, tried with the real Airflow: `python -m tests.door.behind`.

Runs in an interpreter with Airflow. Each check is told by its name once it has held.
"""

from __future__ import annotations

import contextlib
import io
import os
import resource
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import msgspec
import psutil
import structlog
from airflow.dag_processing.processor import DagFileParsingResult
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization

from envman.airflow import own_masks, start, unreadable
from envman.airflow.bundle_listing import BundleListing, ListingError
from envman.airflow.runtime import Runtime
from envman.airflow.server_child import ServerChild
from envman.door.parse_result import AskedFile
from tests.door.hostile import Child, kinds
from tests.door.liar import Liar

SECRET = "a-word-that-one-child-masks"
SHARED = ("parse", "triggers")


def serve(child: Child) -> None:
    """Read everything that a child has sent."""
    for _ in range(5):
        child.serve()


def said(child: Child) -> bytes:
    """What is logged of what a child sends now: in its own log, or the component's."""
    before = len(child.output.getvalue())
    with tempfile.TemporaryFile() as component:
        own = os.dup(1)
        os.dup2(component.fileno(), 1)
        try:
            child.far["stdout"].send(f"printed {SECRET}\n".encode())
            child.far["logs"].send(f'{{"level":"info","event":"logged {SECRET} in-sight"}}\n'.encode())
            serve(child)
            sys.stdout.flush()
        finally:
            os.dup2(own, 1)
            os.close(own)
        component.seek(0)
        return child.output.getvalue()[before:] + component.read()


def request(**body: object) -> bytes:
    return Liar.framed(msgspec.msgpack.encode([1, body]))


def a_secret_is_masked_in_the_lines_of_who_has_masked_it_alone() -> None:
    for kind in SHARED:
        one, other = (Child(kind, kinds()[kind]) for _ in range(2))
        one.far["requests"].send(request(type="MaskSecret", value={"password": SECRET, "host": "in-sight"}))
        serve(one)
        lines = said(one)
        assert b"printed ***" in lines and b"logged *** in-sight" in lines, lines  # noqa: PT018
        assert SECRET.encode() not in lines, lines
        assert said(other).count(SECRET.encode()) == 2
        for child in (one, other):
            assert not child.tracker.killed
            child.close()


class FullDisk(io.BytesIO):
    """A log that can't be written."""

    def write(self, _: Any) -> int:
        raise OSError(28, "No space left on device")


def a_log_that_can_not_be_written_ends_no_component() -> None:
    contents = {"stdout": b"hello\n", "logs": b'{"level":"info","event":"x"}\n', "requests": b"\xff" * 4}
    for kind in SHARED:
        for name, content in contents.items():
            with patch("tests.door.hostile.io.BytesIO", FullDisk):
                child = Child(kind, kinds()[kind])
            child.say({name: content}, close=True)
            child.close()


def dag_that_takes_long_to_read() -> Any:
    with DAG("long", schedule="@daily") as dag:
        pass
    data = DagSerialization.to_dict(dag)
    crons = {"expressions": [f"{number % 60} 0 * * *" for number in range(20_000)], "timezone": "UTC"}
    crons |= {"interval": 0.0, "run_immediately": False}
    name = "airflow.timetables.trigger.MultipleCronTriggerTimetable"
    data["dag"]["timetable"] = {"__type": name, "__var": crons}
    return data


def dags_that_take_long_to_read_are_their_files_error() -> None:
    dag = dag_that_takes_long_to_read()
    result = DagFileParsingResult(fileloc="/a.py", serialized_dags=[{"data": dag}])
    runtime: Any = Runtime
    with patch.object(unreadable, "READ_LIMIT", 0.2):
        unreadable.refuse_unreadable(result, AskedFile("/a.py", "a.py"), runtime)
    assert result.serialized_dags == []
    assert unreadable.TOO_LONG in result.import_errors["a.py"]
    assert signal.getitimer(signal.ITIMER_VIRTUAL)[0] == 0


def who_has_the_number_of_an_ended_child_is_not_signalled() -> None:
    ended = os.fork()
    if ended == 0:
        os._exit(0)
    handle = os.pidfd_open(ended)
    os.waitpid(ended, 0)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, start_new_session=True) as stranger:
        child = Child("task", kinds()["task"])
        ours, _theirs = socket.socketpair()
        child.process._process = ServerChild(ours, stranger.pid, handle, "env_a")
        child.process._new_process_group = True
        with contextlib.suppress(psutil.NoSuchProcess):
            child.process._signal_subprocess(signal.SIGTERM)
        is_there = stranger.poll() is None
        stranger.kill()
        assert is_there


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    """While inside, no file can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def a_bundle_for_which_no_descriptor_is_free_is_listed_later() -> None:
    selector = selectors.DefaultSelector()
    with no_descriptors():
        listing = BundleListing("bundle_a", "/", selector)
    assert listing.is_over()
    problem = ""
    try:
        listing.result()
    except ListingError as error:
        problem = str(error)
    listing.close()
    assert "Too many open files" in problem, problem


class Interrupted(io.StringIO):
    """A log that is told something by a signal while it is written."""

    def write(self, text: str) -> int:
        if text == "first\n":
            os.kill(os.getpid(), signal.SIGUSR1)
        return super().write(text)


def a_signal_that_comes_while_something_is_logged_stops_nothing() -> None:
    start.let_signals_log()
    told = Interrupted()
    logger = structlog.WriteLogger(told)
    signal.signal(signal.SIGUSR1, lambda *_: logger.msg("by the signal"))
    signal.alarm(60)
    logger.msg("first")
    signal.alarm(0)
    assert {*told.getvalue().splitlines()} == {"first", "by the signal"}


def a_credential_is_masked_whatever_its_child_asks_for() -> None:
    """A token, and beside it JSON whose password comes after more texts than a child may have masked."""
    masker = own_masks.of_a_child()
    value = {
        **{f"host-{number}": f"in-sight-{number:04}" for number in range(400)},
        "password": "its-password",
    }
    for secret in ("a-token", value, [{"password": "in-a-list"}], ["a-bare-item"]):
        masker.keep_mask(secret)
    for number in range(1000):
        masker.add_mask(f"asked-for-{number:04}")
    masker.reset_masker()
    for secret in ("a-token", "its-password", "in-a-list", "a-bare-item"):
        assert masker.replacer.sub("***", f"<{secret}>") == "<***>", secret
    assert masker.replacer.sub("***", "in-sight-0399 asked-for-0999") == "in-sight-0399 asked-for-0999"
    other = own_masks.of_a_child()
    assert other.replacer.sub("***", "a-token") == "a-token"


CHECKS = (
    a_credential_is_masked_whatever_its_child_asks_for,
    a_secret_is_masked_in_the_lines_of_who_has_masked_it_alone,
    a_log_that_can_not_be_written_ends_no_component,
    dags_that_take_long_to_read_are_their_files_error,
    who_has_the_number_of_an_ended_child_is_not_signalled,
    a_bundle_for_which_no_descriptor_is_free_is_listed_later,
    a_signal_that_comes_while_something_is_logged_stops_nothing,
)


def main() -> None:
    """Run all checks."""
    own_masks.install()
    for check in CHECKS:
        check()
        print(check.__name__)
    print("all hold")


if __name__ == "__main__":
    sys.exit(main())
