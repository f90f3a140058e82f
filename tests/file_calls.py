"""A script: run the command `envman` in this process, and count what it asks of files.

    python file_calls.py COUNTS FOLDER WORD...

COUNTS gets JSON: how many files it has opened, looked at, and read out of listings, and how many programs it has
started; of files only those below FOLDER count, as all that Python imports does not. Processes that it starts are
not looked into.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

COUNTED: Counter[str] = Counter()


class Listed:
    """Entries of a folder, as os.scandir gives them."""

    def __init__(self, entries: list[Any]) -> None:
        self._entries = iter(entries)

    def __iter__(self) -> Listed:
        return self

    def __next__(self) -> Any:
        return next(self._entries)

    def __enter__(self) -> Listed:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """There is nothing to close."""


def count_below(folder: str) -> None:
    """Count from now on."""

    def is_below(path: Any) -> bool:
        # a number is a descriptor of what was opened beneath a folder
        return isinstance(path, int) or os.fsdecode(path).startswith(folder)

    def looked(name: str) -> None:
        real = getattr(os, name)

        def look(path: Any, *rest: Any, **named: Any) -> Any:
            COUNTED["looks"] += is_below(path)
            return real(path, *rest, **named)

        setattr(os, name, look)

    for name in ("stat", "lstat", "readlink"):
        looked(name)
    listdir, scandir = os.listdir, os.scandir

    def names(path: Any = ".") -> Any:
        found = listdir(path)
        COUNTED["entries"] += len(found) * is_below(path)
        return found

    def entries(path: Any = ".") -> Any:
        with scandir(path) as found:
            listed = [*found]
        COUNTED["entries"] += len(listed) * is_below(path)
        return Listed(listed)

    os.listdir, os.scandir = names, entries  # type: ignore[assignment]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and arguments[0] is not None:
            COUNTED["opens"] += is_below(arguments[0])
        elif event in {"subprocess.Popen", "os.posix_spawn", "os.fork"}:
            COUNTED["programs"] += 1

    sys.addaudithook(hook)


def main(told: str, folder: str, *words: str) -> None:
    """Run the command with these words."""

    def tell() -> None:
        counted = dict(COUNTED)
        Path(told).write_text(json.dumps(counted))

    sys.addaudithook(lambda event, _: tell() if event == "os.exec" else None)
    atexit.register(tell)
    sys.argv = ["envman", *words]
    from envman.__main__ import main as envman

    os.chdir(folder)
    count_below(folder)
    sys.exit(envman())  # type: ignore[func-returns-value]


if __name__ == "__main__":
    del sys.path[0]  # this folder, whose modules have others' names
    main(*sys.argv[1:])
