"""Who holds a lock on a file: for the message of somebody who has waited for it long enough.

The kernel shows locks beside the descriptors that hold them (proc(5), /proc/PID/fdinfo), to whoever may look
at those processes. /proc/locks shows everybody who has taken one, but no holder of a lock that belongs to an
open file description (fcntl(2), F_OFD_SETLK). On the launch path, where somebody waits in vain.
"""

from __future__ import annotations

import contextlib
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_COMMAND = 80
"""Characters of a command that are shown."""

UNSEEN = "a process that this user can't see"


def holder_text(file: int | str) -> str:
    """Who holds a lock on a file, given by path or descriptor: processes with their users and commands."""
    return ", ".join(describe(pid) for pid in lock_holders(file)) or UNSEEN


def lock_holders(file: int | str) -> list[int]:
    """The processes that hold a lock on a file, as far as this user may see them; raises OSError."""
    return LocksInSight().holders(file)


class LocksInSight:
    """The locks of all processes that this user may see, by one look at them, when it is first asked."""

    def __init__(self) -> None:
        self._held: dict[str, set[int]] | None = None

    def holders(self, file: int | str) -> list[int]:
        """The processes that held a lock on a file then; raises OSError."""
        status = os.stat(file)
        device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
        name = f"{device}:{status.st_ino}"
        if self._held is None:
            self._held = _held_locks()
        found = self._held.get(name)
        if not found:
            found = {pid for line in _lines("/proc/locks") if (pid := _taker(line, name)) > 0}
        return sorted(found)


def describe(pid: int) -> str:
    """A process as people know it: 'process 12 (team_a: python -c ...)'."""
    words = " ".join(_text(f"/proc/{pid}/cmdline").split("\0")).strip() or _text(f"/proc/{pid}/comm").strip()
    command = "".join(one if one.isprintable() else "?" for one in words)
    if len(command) > LONGEST_COMMAND:
        command = f"{command[:LONGEST_COMMAND]}..."
    return f"process {pid} ({_user(pid)}: {command or 'it has ended'})"


def _user(pid: int) -> str:
    try:
        number = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return "?"
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def _processes() -> Iterator[int]:
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            yield int(entry)


def _held_locks() -> dict[str, set[int]]:
    """Who holds a lock, by its file's device and inode, as the kernel writes them."""
    held: dict[str, set[int]] = {}
    for pid in _processes():
        with contextlib.suppress(OSError):  # it has ended, or belongs to somebody else
            for descriptor in os.listdir(f"/proc/{pid}/fdinfo"):
                for line in _lines(f"/proc/{pid}/fdinfo/{descriptor}"):
                    for word in line.split() if line.startswith("lock:") else ():
                        if word.count(":") > 1:
                            held.setdefault(word, set()).add(pid)
    return held


def _taker(line: str, name: str) -> int:
    """The process that has taken a lock, of a line of /proc/locks; 0 where it is of another file."""
    words = line.split()
    if name not in words or "->" in words:  # that one is waiting
        return 0
    number = words[words.index(name) - 1]
    return int(number) if number.isdigit() else 0


def _lines(path: str) -> list[str]:
    return _text(path).splitlines()


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""
