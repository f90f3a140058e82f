"""The code of Dags, as the UI shows it: read by the Dag processor, beneath the bundle's folder.

Airflow opens whatever path a Dag says that it has, with the Dag processor's rights.
"""

from __future__ import annotations

import io
import os
import zipfile
from typing import ClassVar

from airflow.models.dagcode import DagCode

from envman.confine.step import identity
from envman.door.parse_result import AskedFile
from envman.system.beneath import Reader, open_beneath

LONGEST_CODE = 2**20
"""Bytes of code that are shown; what is more is cut."""

PLAIN = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
LARGEST_ARCHIVE = 8 * 2**20
"""Bytes of an archive that is opened."""

MOST_FILES = 10_000
"""Files in it."""

MOST_CODE = 32 * 2**20
"""Bytes of code that are read for the Dags of one file."""


class CodeSource:
    """The file whose Dags are being written down; `current` is that of this moment.

    `folder` is its bundle's; `user` and group are those of its environment (None: the component's own).
    """

    __slots__ = ("_archive", "_last", "_left", "asked", "folder", "user")

    current: ClassVar[CodeSource | None] = None

    def __init__(self, asked: AskedFile, folder: str, user: tuple[str, str] | None) -> None:
        self.asked = asked
        self.folder = folder
        self.user = user
        self._archive: zipfile.ZipFile | None = None
        self._last = ("", "")
        self._left = MOST_CODE

    def read(self, place: str) -> str:
        """The code of the file, or of one in it where it is an archive.

        A file may have thousands of Dags, and is read once for all of them. Raises OSError, and what zipfile
        raises.
        """
        if self._last[0] != place:
            if self._left <= 0:
                raise OSError("the files of this archive are too large")
            inner = place[len(self.asked.path) + 1 :]
            data = self._member(inner) if inner else self._file(LONGEST_CODE + 1)
            self._last = (place, _text(data))
        return self._last[1]

    def _file(self, size: int) -> bytes:
        """The first bytes of the file."""
        reader = None
        if self.user:
            who = identity(*self.user)
            reader = Reader(who.uid, frozenset({who.gid, *who.groups}))
        with os.fdopen(open_beneath(self.folder, self.asked.relative, reader), "rb") as stream:
            data = stream.read(size)
        self._left -= len(data)
        return data

    def _member(self, inner: str) -> bytes:
        """The first bytes of a file in the archive."""
        if self._archive is None:
            content = self._file(LARGEST_ARCHIVE + 1)
            if len(content) > LARGEST_ARCHIVE:
                raise OSError("the archive is too large")
            if content.count(b"PK\1\2") > MOST_FILES:  # before zipfile makes an object of each
                raise OSError("the archive has too many files")
            self._archive = zipfile.ZipFile(io.BytesIO(content))
        if self._archive.getinfo(inner).compress_type not in PLAIN:  # the others give all at once
            raise OSError("it is packed in a way that is not read here")
        with self._archive.open(inner) as member:
            data = member.read(LONGEST_CODE + 1)
        self._left -= len(data)
        return data


def code_of(place: str) -> str:
    """In the place of `DagCode.get_code_from_file`: the code, or why it can't be shown."""
    source = CodeSource.current
    try:
        if source is None or not source.asked.has(place):
            raise OSError("it is not the file that was parsed")
        return source.read(place)
    except Exception as error:  # noqa: BLE001  # a team's archive makes zipfile raise whatever it likes
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        return f"# The code of this file can't be shown: {why}.\n"


def _text(data: bytes) -> str:
    text = data[:LONGEST_CODE].decode(errors="replace").replace("\0", "\N{SYMBOL FOR NULL}")
    return text if len(data) <= LONGEST_CODE else f"{text}\n# … the rest is not shown\n"


def install() -> None:
    """Make Airflow read the code of Dags here."""
    DagCode.get_code_from_file = staticmethod(code_of)
