"""The package `poison` of a wheel: whenever its interpreter starts, it tries to reach what is not its own.

    python -m poison      prints what it has reached, and ends with 3

To be let in is enough for it: a file is opened for writing and left as it is, what it makes it removes. So the same
can be done with all rights, to see that each attempt is a real one.
"""

from __future__ import annotations

import ctypes
import fcntl
import glob
import itertools
import json
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

SECRET = b"canary-of-the-components"
PORT = 8125
VICTIM = "/dags/bundle_b/dag.py"
CACHE, STORE = "/root/.cache/uv", "/root/.cache/envman"
MANY = 300
"""Files of a folder that it tries: system calls are slow in a guest."""

_OPEN_FILE_LOCK = 37  # fcntl.F_OFD_SETLK, of newer Pythons


def write(path: str) -> None:
    """Open a file for writing."""
    os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK))


def add(folder: str) -> None:
    """Make a file in a folder, and remove it."""
    path = f"{folder}/poison-{os.getpid()}"
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    os.unlink(path)


def change(path: str) -> None:
    """Write a file, or into a folder, or give a file the rights that it has."""
    if os.path.isdir(path):
        add(path)
        return
    try:
        os.chmod(path, os.stat(path).st_mode)
    except OSError:
        write(path)


def read(path: str) -> None:
    """Open a file, or list a folder."""
    if os.path.isdir(path):
        os.listdir(path)
    else:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))


def lock(path: str) -> None:
    """Have a file alone for a moment, as builders have their locks, and `gc` a manifest."""
    with open(path, "rb+" if os.access(path, os.W_OK) else "rb") as stream:
        if "/.lock/" in path:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            fcntl.fcntl(stream, _OPEN_FILE_LOCK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))


def secret(pid: str) -> None:
    """Find the components' secret in a process's variables or arguments."""
    for name in ("environ", "cmdline"):
        with open(f"/proc/{pid}/{name}", "rb") as stream:
            if SECRET in stream.read():
                return
    raise PermissionError


def memory(pid: str) -> None:
    """Open the memory of another user's process."""
    _others(pid)
    os.close(os.open(f"/proc/{pid}/mem", os.O_RDONLY))


def trace(pid: str) -> None:
    """Attach to another user's process, and leave it alone again."""
    _others(pid)
    libc = ctypes.CDLL(None, use_errno=True)
    seize, detach, interrupt = 0x4206, 17, 0x4207
    if libc.ptrace(seize, int(pid), None, None):
        raise OSError(ctypes.get_errno(), "ptrace")
    libc.ptrace(interrupt, int(pid), None, None)
    os.waitpid(int(pid), 0x40000000)  # __WALL
    libc.ptrace(detach, int(pid), None, None)


def send(pid: str) -> None:
    """Be allowed to send a signal to another user's process."""
    _others(pid)
    os.kill(int(pid), 0)


def _others(pid: str) -> None:
    """Leave what is this user's own: an interpreter's fork server."""
    if os.stat(f"/proc/{pid}").st_uid == os.getuid():
        raise PermissionError


def connect(path: str) -> None:
    """Connect to a socket of a folder."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(path)


def call(port: str) -> None:
    """Connect to a port of this machine."""
    socket.create_connection(("127.0.0.1", int(port)), 5).close()


def become_root(_: str) -> None:
    """Become root."""
    os.setuid(0)


def below(*folders: str) -> Iterator[str]:
    """Folders, and some of what is below each."""
    for folder in folders:
        yield folder
        found = (
            os.path.join(above, name)
            for above, names, files in os.walk(folder)
            for name in (*names, *itertools.islice(files, 5))
        )
        yield from itertools.islice(found, MANY)


def own() -> Iterator[str]:
    """What its own environment consists of: most of it are inodes of other generations and of the caches, too."""
    yield from below(sys.prefix, f"{sys.prefix}/bin")


def others() -> Iterator[str]:
    """Other generations, by the root folder and by their names."""
    yield from (f"/venv{name}" for name in ("", "/.gen", "/.state", "/.lock"))
    for generation in glob.glob("/venv/.gen/*"):
        if os.path.realpath(generation) != os.path.realpath(sys.prefix):
            yield from below(generation)
    yield from glob.glob("/venv/.state/*")


def processes() -> list[str]:
    """All processes that are seen, but for this one."""
    return [name for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]


def groups() -> Iterator[str]:
    """Control groups, and the files that decide about each."""
    for above, _, files in os.walk("/sys/fs/cgroup"):
        yield above
        yield from (f"{above}/{name}" for name in files if name in ("cgroup.procs", "memory.max", "pids.max"))


ATTEMPTS: dict[str, tuple[Callable[[str], None], Callable[[], Iterator[str] | list[str]]]] = {
    "the inodes of its own files": (change, own),
    "other environments": (change, others),
    "uv's cache": (change, lambda: below(CACHE)),
    "to read uv's cache": (read, lambda: [CACHE]),
    "the bytecode store": (change, lambda: below(STORE)),
    "to read the bytecode store": (read, lambda: [STORE]),
    "specs and locks": (change, lambda: below("/srv/airflow")),
    "another bundle": (change, lambda: [os.path.dirname(VICTIM), VICTIM]),
    "the components' variables in a file": (read, lambda: ["/etc/airflow/airflow.env"]),
    "the components' configuration": (read, lambda: ["/var/lib/airflow/airflow.cfg"]),
    "logs of others": (read, lambda: ["/var/lib/airflow/logs"]),
    "what is root's": (read, lambda: ["/etc/shadow", "/root"]),
    "locks": (lock, lambda: [*glob.glob("/venv/.lock/*"), *glob.glob("/venv/.gen/*/envman.json")]),
    "a secret in /proc": (secret, processes),
    "a process's memory": (memory, processes),
    "to trace a process": (trace, processes),
    "to signal a process": (send, processes),
    "control groups": (change, groups),
    "fork servers": (connect, lambda: glob.glob("/tmp/envman-*/*.sock")),
    "to be root": (become_root, lambda: [""]),
    "the network": (call, lambda: [str(PORT)]),
}


def attack() -> dict[str, str]:
    """Make each attempt; returns those that came to something, with what was reached first."""
    done: dict[str, str] = {}
    for name, (attempt, targets) in ATTEMPTS.items():
        for target in targets():
            try:
                attempt(target)
                done[name] = target
                break
            except OSError:
                pass
    if SECRET.decode() in str(os.environ):
        done["a secret in its own variables"] = ""
    return done


def watch(begun: Path, enough: Path) -> dict[str, object]:
    """Look for the secret in all processes, as often as it can, until somebody says that it is enough."""
    found: set[str] = set()
    looks = 0
    begun.touch()
    while not enough.exists():
        looks += 1
        for pid in processes():
            try:
                secret(pid)
                found.add(Path(f"/proc/{pid}/cmdline").read_text())
            except OSError:
                pass
    return {"found": sorted(found), "looks": looks}


FOUND = attack()
"""What it has reached as the interpreter started."""

if __name__ == "__main__":
    print(json.dumps(attack() | FOUND), file=sys.stderr)
    sys.exit(3)
