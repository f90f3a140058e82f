"""Writes streams that a child may send: `python -m tests.door.streams FOLDER COUNT SEED`, where Airflow is.

COUNT files for each kind of child, FOLDER/KIND/NUMBER.json, each with the content of sockets, in base64; and huge.json,
which says a size that no request has.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.door.hostile import Child, kinds, message_types
from tests.door.liar import Liar

THEN = ("goes on", "ends", "stays")
"""What a child does when it has said everything."""


def write(file: Path, streams: Mapping[str, bytes], then: str) -> None:
    """One file, as tests/e2e/estate/hostile/liars reads it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    encoded = {name: base64.b64encode(content).decode() for name, content in streams.items()}
    file.write_text(json.dumps({"streams": encoded, "then": then}))


def main(folder: Path, count: int, seed: int) -> None:
    """Write them all."""
    huge = {"requests": b"\xff\xff\xff\xff"}
    for kind, make in kinds().items():
        child = Child(kind, make)
        types = message_types(child.process)
        child.close()
        write(folder / kind / "huge.json", huge, "stays")
        for number in range(count):
            streams = Liar(seed + number, types).streams()
            write(folder / kind / f"{number}.json", streams, THEN[number % len(THEN)])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
