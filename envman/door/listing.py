"""What a process of a team's may say of the files in its bundle. Pure.

A line for each file, a JSON array: its path below the bundle's folder, and the places where a Dag processor
may have seen Dags of it, the file itself or what is in an archive. The last line is the number of files, or
an object with the error for which there is no list.
"""

from __future__ import annotations

import json
import re
from typing import Any

from envman.door.breach import BreachError

LARGEST_LISTING = 16 * 2**20
"""Bytes of a listing."""

MOST_FILES = 50_000
"""Files of a bundle."""

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


class Listing:
    """Files and the places of their Dags, by path; left out are those whose names nobody can keep."""

    __slots__ = ("files", "left_out")

    def __init__(self, files: dict[str, list[str]], left_out: list[str]) -> None:
        self.files = files
        self.left_out = left_out


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
    found = Listing({}, [])
    for line in lines:
        _take(_value(line), found)
    return found


def _take(said: Any, found: Listing) -> None:
    if not isinstance(said, list) or not all(isinstance(one, str) for one in said) or not said:
        raise BreachError("the list of its files has something else in it")
    path, *places = said
    if is_path(path):
        found.files[path] = [one for one in places if is_path(one) and f"{one}/".startswith(f"{path}/")]
    else:
        found.left_out.append(path)


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
