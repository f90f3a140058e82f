"""Streams that a child of a component may send: whatever is no line, no frame, no message, or has odd fields."""

from __future__ import annotations

import json
import random
import struct
from typing import Any

import msgspec


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
