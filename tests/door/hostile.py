"""A child of a component that says whatever it likes; Airflow and the door are real.

Runs in an interpreter with Airflow: `python -m tests.door.hostile SECONDS [SEED]`, as the session `fuzz` does. For each
class of child that components have, random streams go into its four sockets, and a loop serves them that is the
components' own. Nothing may come out of it but the end of that child.
"""

from __future__ import annotations

import gc
import io
import os
import resource
import selectors
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import structlog
from airflow.sdk.execution_time.supervisor import ProcessTracker

from envman.airflow import own_masks
from tests.door.liar import Liar

MOST_GROWTH = 64 * 2**20
"""Bytes by which the memory of a component may have grown at the end."""

WARM_UP = 50
"""Children after which all is loaded that is loaded on demand."""

LONGEST = 20.0
"""Seconds that serving one stream may take."""


class Tracked(ProcessTracker):
    """A process that is there until it is killed."""

    class ProcessNotFound(Exception):
        pass

    class TimeoutExpired(Exception):
        pass

    def __init__(self) -> None:
        self.killed = False

    @property
    def pid(self) -> int:
        return 2**22 - 1

    def send_signal(self, s: signal.Signals) -> None:
        self.killed |= s == signal.SIGKILL

    def wait(self, timeout: float | None) -> int:
        if self.killed:
            return -signal.SIGKILL
        raise self.TimeoutExpired


class Child:
    """A supervised child of one class, and the far ends of its sockets."""

    def __init__(self, kind: str, make: Callable[..., Any]) -> None:
        self.kind = kind
        self.output = io.BytesIO()
        self.selector = selectors.DefaultSelector()
        pairs = [socket.socketpair() for _ in range(4)]
        self.far = {
            name: pair[1] for name, pair in zip(("stdout", "stderr", "requests", "logs"), pairs, strict=True)
        }
        for far in self.far.values():
            far.setblocking(False)
        self.tracker = Tracked()
        logger = structlog.wrap_logger(structlog.BytesLogger(self.output), processors=processors()).bind()
        self.process = make(
            pid=self.tracker.pid,
            stdin=pairs[2][0],
            process=self.tracker,
            process_log=logger,
            selector=self.selector,
        )
        ours = [pair[0] for pair in pairs]
        self.process._register_pipe_readers(*ours, data={})
        self.process.put_behind_the_door(ours[2], ours)

    def say(self, streams: dict[str, bytes], close: bool) -> None:
        """Send the streams, interleaved, while the loop of the component serves them."""
        left = {name: memoryview(stream) for name, stream in streams.items()}
        began = time.monotonic()
        while any(left.values()) and not self.tracker.killed:
            for name, rest in left.items():
                if rest:
                    try:
                        left[name] = rest[self.far[name].send(rest[:200_000]) :]
                    except BlockingIOError:
                        pass
                    except OSError:
                        left[name] = memoryview(b"")
            self.serve()
            assert time.monotonic() - began < LONGEST, "it took too long"
            if self.process._answers.waits():  # nobody reads; a component waits for nobody
                break
        if close:
            for far in self.far.values():
                far.close()
        for _ in range(3):
            self.serve()
        self.process._check_subprocess_exit()

    def serve(self) -> None:
        """As `DagFileProcessorManager._service_processor_sockets` does."""
        for key, _ in self.selector.select(0):
            handle, on_close = key.data
            try:
                more = handle(key.fileobj)
            except (BrokenPipeError, ConnectionResetError):
                more = False
            if not more:
                on_close(key.fileobj)
                key.fileobj.close()

    def close(self) -> None:
        for one in (*self.process._open_sockets, *self.far.values()):
            one.close()
        self.selector.close()


def processors() -> list[Any]:
    from airflow.sdk.log import logging_processors

    return list(logging_processors(json_output=True))


def kinds() -> dict[str, Callable[..., Any]]:
    """How each component's children are made."""
    from airflow.sdk.api.client import Client

    from envman.airflow.dag_processor import ParseInBundle
    from envman.airflow.trigger_runner import BundleRunner
    from envman.airflow.worker import CallbackInBundle, TaskInBundle

    client = Client(base_url=None, dry_run=True, token="")

    def parse(**fields: Any) -> Any:
        names = {"bundle_name": "bundle_a", "dag_file_rel_path": "dag.py"}
        return ParseInBundle(id=uuid4(), client=client, logger_filehandle=io.BytesIO(), **names, **fields)

    def task(**fields: Any) -> Any:
        return TaskInBundle(id=uuid4(), client=client, **fields)

    def callback(**fields: Any) -> Any:
        return CallbackInBundle(id=uuid4(), client=client, **fields)

    def runner(**fields: Any) -> Any:
        BundleRunner.shared_client = client
        return BundleRunner(id=uuid4(), capacity=10, **fields)

    return {"parse": parse, "task": task, "callback": callback, "triggers": runner}


def message_types(process: Any) -> list[Any]:
    """Every message that a supervisor knows, from its own union."""
    found: list[Any] = []

    def walk(kind: Any) -> None:
        for one in getattr(kind, "__args__", ()):
            if hasattr(one, "model_fields"):
                found.append(one)
            else:
                walk(one)

    walk(process.decoder._type)
    assert len(found) > 2, f"{process}: its messages are not found"
    return found


def attack(seconds: float, seed: int) -> Iterator[str]:
    """Attack for so long in all; yields what was done to each kind of child, a line each."""
    makers = kinds()
    for kind, make in makers.items():
        counts: Counter[str] = Counter()
        until = time.monotonic() + seconds / len(makers)
        before = 0
        number = seed
        while time.monotonic() < until:
            child = Child(kind, make)
            liar = Liar(number, message_types(child.process))
            try:
                child.say(liar.streams(), close=liar.random.random() < 0.5)
            except BaseException as error:
                raise AssertionError(f"{kind}, seed {number}: {type(error).__name__}: {error}") from error
            finally:
                child.close()
            counts["ended" if child.tracker.killed else "lived"] += 1
            number += 1
            if number - seed == WARM_UP:
                before = memory()
        gc.collect()
        grown = memory() - before if before else 0
        assert grown < MOST_GROWTH, f"{kind}: the memory has grown by {grown / 2**20:.0f} MiB"
        yield f"{kind}: {number - seed} children, {dict(counts)}, memory {grown / 2**20:+.1f} MiB"


def memory() -> int:
    """Bytes that this process has in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def main() -> None:
    """Attack; what the component itself logs goes nowhere, as there would be gigabytes of it."""
    told = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    own_masks.install()
    for line in attack(float(sys.argv[1]), int((sys.argv[2:] or ["0"])[0])):
        print(line, file=told, flush=True)


if __name__ == "__main__":
    main()
