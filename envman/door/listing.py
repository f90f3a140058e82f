"""What a process of a team's may say of the files in its bundle. Pure.

A line for each file, a JSON array: its path below the bundle's folder and, of an archive, the places of the
files in it that may have Dags. The last line is the number of files, or an object with the error for which
there is no list.
"""

from __future__ import annotations

import json
import re
from typing import Any

from envman.door.breach import BreachError

LARGEST_LISTING = 4 * 2**20
"""Bytes of a listing."""

MOST_FILES = 20_000
"""Files of a bundle."""

MOST_PLACES = 50_000
"""Files in the archives of a bundle."""

LONGEST_LINE = 2**20
"""Bytes of what is said of a file: of an archive with a few thousand in it."""

LONGEST_PATH = 1000
"""Characters of a path: what Airflow's database holds of a file with an error."""

LONGEST_NAME = 240
"""Bytes of a folder's or a file's name: the log of a file has some more."""

NO_TEXT = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters, and what stands for bytes that are no UTF-8."""

LONGEST_ERROR = 1000
"""Characters of an error that are told."""


SHOWN = 3
"""Of the files that are left out so many are named."""


class Listing:
    """Files by path, with the places in an archive (None: it is none).

    Left out are those whose names nobody can keep: how many, and the beginnings of some names.
    """

    __slots__ = ("files", "left_out", "number_left_out", "places")

    def __init__(self) -> None:
        self.files: dict[str, list[str] | None] = {}
        self.left_out: list[str] = []
        self.number_left_out = 0
        self.places = 0

    def add(self, path: str, places: list[str]) -> None:
        """Add a file. Raises BreachError where there are too many places."""
        self.places += len(places)
        if self.places > MOST_PLACES:
            raise BreachError(f"its archives have more than {MOST_PLACES:,} files")
        if is_path(path):
            within = [one for one in places if is_path(one) and one.startswith(f"{path}/")]
            self.files[path] = within or None
        else:
            self.number_left_out += 1
            if len(self.left_out) < SHOWN:
                self.left_out.append(NO_TEXT.sub("\N{REPLACEMENT CHARACTER}", path[:100]))


def listing(data: bytes) -> Listing:
    """Read a whole listing. Raises BreachError for its error, and for what is none."""
    if data.count(b"\n") > MOST_FILES + 1:
        raise BreachError(f"it has more than {MOST_FILES:,} files")
    *lines, last = data.removesuffix(b"\n").split(b"\n")
    end = _value(last)
    if isinstance(end, dict) and isinstance(error := end.get("error"), str):
        raise BreachError(NO_TEXT.sub("\N{REPLACEMENT CHARACTER}", error[:LONGEST_ERROR]))
    if end != len(lines) or isinstance(end, bool):
        raise BreachError("the list of its files broke off")
    found = Listing()
    for line in lines:
        said = _value(line)
        if not isinstance(said, list) or not all(isinstance(one, str) for one in said) or not said:
            raise BreachError("the list of its files has something else in it")
        found.add(said[0], said[1:])
    return found


def is_path(path: str) -> bool:
    """Whether this is a path below a folder that logs and databases can keep."""
    parts = path.split("/")
    return (
        len(path) <= LONGEST_PATH
        and not {"", ".", ".."} & {*parts}
        and not NO_TEXT.search(path)
        and all(len(part.encode()) <= LONGEST_NAME for part in parts)
    )


def _value(line: bytes) -> Any:
    try:
        if len(line) <= LONGEST_LINE:
            return json.loads(line)
    except (ValueError, RecursionError):
        pass
    raise BreachError("the list of its files can't be read")
