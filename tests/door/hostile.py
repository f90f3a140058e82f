"""A child of a component that says whatever it likes; Airflow and the door are real.

Runs in an interpreter with Airflow: `python -m tests.door.hostile SECONDS [SEED]`, as the session `fuzz` does. For each
class of child that components have, random streams go into its four sockets, and a loop serves them that is the
components' own. Nothing may come out of it but the end of that child.
"""

from __future__ import annotations

import gc
import io
import json
import os
import random
import resource
import selectors
import signal
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import structlog
from airflow.sdk.execution_time.supervisor import ProcessTracker

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
        self.process.cleanup_sockets_after_kill()
        for far in self.far.values():
            far.close()
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


class Liar:
    """Makes streams, from a seed."""

    def __init__(self, seed: int, types: list[Any]) -> None:
        self.random = random.Random(seed)
        self.types = types

    def streams(self) -> dict[str, bytes]:
        names = self.random.sample(["stdout", "stderr", "requests", "logs"], self.random.randint(1, 3))
        makers = {"requests": self.requests, "logs": self.logs}
        return {name: makers.get(name, self.output)() for name in names}

    def output(self) -> bytes:
        pick = self.random.randrange(4)
        if pick == 0:
            return self.random.randbytes(self.random.choice([1, 100, 70_000]))
        if pick == 1:
            return b"x" * self.random.choice([10, 5000, 3 * 2**20])
        if pick == 2:
            return b"\n" * self.random.choice([1, 1000])
        return "é\r\0\x1b[31mred\n".encode() * 10

    def logs(self) -> bytes:
        lines = [self.line() for _ in range(self.random.randint(1, 20))]
        return b"\n".join(lines) + self.random.choice([b"", b"\n"])

    def line(self) -> bytes:
        pick = self.random.randrange(8)
        if pick == 0:
            return self.random.choice(
                [b"5", b"null", b"[]", b'"a"', b"{", b"\xff", b"NaN", b"", b'{"a": 1}', b"true"]
            )
        if pick == 1:
            deep = self.random.choice([10, 40, 500, 5000, 200_000])
            return b'{"level":"info","event":"x","a":' + b"[" * deep + b"]" * deep + b"}"
        if pick == 2:
            return b'{"level":"info","event":"' + b"y" * self.random.choice([10, 2**20, 2**21]) + b'"}'
        event: dict[str, Any] = {"level": "info", "event": "said", "timestamp": "2026-11-26T10:11:12Z"}
        for _ in range(self.random.randint(0, 4)):
            event[self.key()] = self.value(3)
        for key in ("level", "event", "timestamp"):
            if self.random.random() < 0.2:
                event.pop(key, None)
        try:
            return json.dumps(event).encode("utf-8", "surrogatepass")
        except (ValueError, RecursionError):
            return b"{}"

    def key(self) -> str:
        return self.random.choice(
            [
                *(
                    "level",
                    "event",
                    "timestamp",
                    "target",
                    "msg",
                    "logger",
                    "exception",
                    "exc_info",
                    "stack_info",
                ),
                *(
                    "error_detail",
                    "self",
                    "args",
                    "positional_args",
                    "_record",
                    "",
                    "a b",
                    "\ud800",
                    "loc",
                    "lineno",
                ),
                *(
                    "filename",
                    "func_name",
                    "logger_name",
                    "color_message",
                    "extra",
                    "ti",
                    "process",
                    "name",
                    "kw",
                ),
                *(
                    "stack",
                    "trigger_id",
                    "_from_structlog",
                    "_logger",
                    "_name",
                    "callsite",
                    "exc_text",
                    "__class__",
                    "return",
                ),
            ]
        )

    def value(self, depth: int) -> Any:
        simple: list[Any] = [
            *(
                None,
                True,
                0,
                -1,
                2**63,
                2**200,
                1.5,
                1e308,
                float("nan"),
                float("inf"),
                "",
                "text",
                "\0",
                "\ud800",
            ),
            *("2026-11-26T10:11:12Z", "2026-02-31T10:11:12Z", '"', "\\", "{event}", "%s", "x" * 5000, "info"),
        ]
        pick = self.random.random()
        if depth == 0 or pick < 0.6:
            return self.random.choice(simple)
        if pick < 0.8:
            return [self.value(depth - 1) for _ in range(self.random.randint(0, 4))]
        return {self.key(): self.value(depth - 1) for _ in range(self.random.randint(0, 4))}

    def requests(self) -> bytes:
        return b"".join(self.frame() for _ in range(self.random.randint(1, 6)))

    def frame(self) -> bytes:
        pick = self.random.randrange(10)
        if pick == 0:
            size = self.random.choice([0, 1, 2**16, 2**26, 2**31, 2**32 - 1])
            return struct.pack(">I", size) + self.random.randbytes(self.random.choice([0, 1, 500]))
        if pick == 1:
            return self.framed(self.random.randbytes(self.random.choice([1, 3, 50, 5000])))
        if pick == 2:
            return self.framed(b"\x91" * self.random.choice([10, 1000, 100_000]))
        if pick == 3:
            return self.framed(
                msgspec.msgpack.encode(self.random.choice([5, None, [], {}, "a", [1], [1, 2, 3, 4, 5]]))
            )
        body: Any = self.message() if pick < 9 else self.value(3)
        number: Any = self.random.choice([0, 1, 2**31, -1, "a", None]) if pick == 4 else 1
        whole = [number, body] if pick != 5 else [number, body, self.value(2)]
        try:
            frame = self.framed(msgspec.msgpack.encode(whole))
        except (UnicodeEncodeError, OverflowError, RecursionError, msgspec.MsgspecError):
            return b""
        return frame[: self.random.randint(0, len(frame))] if self.random.random() < 0.05 else frame

    def message(self) -> dict[str, Any]:
        """A message that the supervisor knows, with fields of any type."""
        kind = self.random.choice(self.types)
        body: dict[str, Any] = {"type": kind.__name__}
        for name in kind.model_fields:
            if name != "type" and self.random.random() < 0.9:
                body[name] = self.value(2)
        if self.random.random() < 0.1:
            body[self.key()] = self.value(1)
        if self.random.random() < 0.05:
            body["type"] = self.value(1)
        return body

    @staticmethod
    def framed(content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + content


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
    for line in attack(float(sys.argv[1]), int((sys.argv[2:] or ["0"])[0])):
        print(line, file=told, flush=True)


if __name__ == "__main__":
    main()
