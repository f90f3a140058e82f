"""The changed start commands as one unified diff, which `patch` applies and takes back. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import unified_diff

from envman.adoption.start_commands import ChangedFile

_MAY_BE_SECRET = re.compile(
    r"""AIRFLOW__|://|passw|pwd|secret|token|_key|credential|fernet|[\s"'][a-z_]\w*=""", re.IGNORECASE
)
_SHOWN_AROUND = re.compile(
    r"""\s*$|\[\w+\]$|(?:Description|Documentation|After|Before|Wants|Requires|PartOf|Type|User|Group|Restart\w*
    |Kill\w+|Timeout\w+|PIDFile|WorkingDirectory|WantedBy|Limit\w+|PrivateTmp|RuntimeDirectory)=
    |\s*[\w.-]+:\s*$|\s*(?:<<|image|command|restart|test|interval|timeout|retries|start_period|condition):""",
    re.VERBOSE,
)
"""Lines that are known to hold nothing secret; a variable's may be called anything."""
_NO_NEWLINE = "\\ No newline at end of file\n"


def start_diff(files: Iterable[ChangedFile]) -> str:
    """One diff for all files, with paths relative to the file system's root: for `patch -d / -p1`."""
    return "".join(line for file in files if not shows_secrets(file) for line in _of_file(file))


def shows_secrets(file: ChangedFile) -> bool:
    """Whether a line that changes may hold a secret: then it is to be changed by hand."""
    changed = _lines(file, context=0)
    return any(_MAY_BE_SECRET.search(line) for line in changed if line[:1] in "+-" and line[:3] not in _HEADS)


_HEADS = ("---", "+++")


def _of_file(file: ChangedFile) -> list[str]:
    """The lines of a file's diff, with those around a change if each of these is known to hold no secret."""
    lines = [*_lines(file, context=3)]
    around = [line[1:].rstrip("\n") for line in lines if line.startswith(" ")]
    is_shown = all(_SHOWN_AROUND.match(line) and not _MAY_BE_SECRET.search(line) for line in around)
    return lines if is_shown else [*_lines(file, context=0)]


def _lines(file: ChangedFile, context: int) -> Iterator[str]:
    path = file.path.lstrip("/")
    old, new = file.old.splitlines(keepends=True), file.new.splitlines(keepends=True)
    for line in unified_diff(old, new, f"a/{path}", f"b/{path}", n=context):
        yield line if line.endswith("\n") else f"{line}\n{_NO_NEWLINE}"
