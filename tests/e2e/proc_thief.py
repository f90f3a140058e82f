"""A script: what a stranger of the same user finds of others' secrets in /proc, until its standard input ends.

    python proc_thief.py MARK

Each secret is MARK and a number. It reads the variables, arguments and files in memory of each process, as
often as it can; it keeps the memory of each process open that lets it, asks for its descriptors and for the right
to trace it, and at the end reads what that memory holds by then. It prints what it found as JSON: numbers of
secrets with where they were, the processes that let it in, how often it looked.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import select
import sys
from collections import defaultdict
from pathlib import Path

_SYS_PIDFD_GETFD = 438
_LARGEST = 1 << 26


class Thief:
    """What was found so far, and the memory that is open."""

    def __init__(self, mark: str) -> None:
        self.secret = re.compile(re.escape(mark.encode()) + rb"-(\d\d)")
        self.found: dict[str, set[str]] = defaultdict(set)
        self.open_memory: dict[tuple[int, int], tuple[int, int]] = {}
        self.let_in: set[int] = set()
        self.looks = 0
        self.libc = ctypes.CDLL(None, use_errno=True)

    def look(self) -> None:
        """Look at every process once."""
        self.looks += 1
        for name in os.listdir("/proc"):  # noqa: PTH208  # as quickly as it can
            if name.isdigit() and int(name) != os.getpid():
                self.look_at(int(name))

    def look_at(self, pid: int) -> None:
        with contextlib.suppress(OSError):
            self.search(_content(f"/proc/{pid}/cmdline"), "cmdline", pid)
        try:
            variables = _content(f"/proc/{pid}/environ")
        except OSError:
            return
        if variables:  # a kernel's thread has none, a process between two programs neither
            self.let_in.add(pid)
        self.search(variables, "environ", pid)
        with contextlib.suppress(OSError):
            self.keep_memory(pid)
        with contextlib.suppress(OSError):
            for number in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208
                self.take_descriptor(pid, int(number))

    def search(self, content: bytes, where: str, pid: int) -> None:
        numbers = {number.decode() for number in self.secret.findall(content)}
        words = b""
        with contextlib.suppress(OSError):
            words = _content(f"/proc/{pid}/cmdline") if numbers else b""
        for number in numbers:
            self.found[number].add(f"{where} of {pid}: {words.replace(bytes(1), b' ').decode()}")

    def keep_memory(self, pid: int) -> None:
        """Open it once for each program that a process becomes."""
        memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
        places = os.open(f"/proc/{pid}/maps", os.O_RDONLY)
        program = hash(os.read(places, 400))
        if (pid, program) in self.open_memory:
            os.close(memory)
            os.close(places)
        else:
            self.open_memory[pid, program] = memory, places

    def take_descriptor(self, pid: int, number: int) -> None:
        file = Path(f"/proc/{pid}/fd/{number}")
        if str(file.readlink()).startswith("/memfd:"):
            self.search(_content(str(file)), f"descriptor {number}", pid)
        handle = os.pidfd_open(pid)
        try:
            taken = self.libc.syscall(_SYS_PIDFD_GETFD, handle, number, 0)
        finally:
            os.close(handle)
        if taken >= 0:
            self.let_in.add(pid)
            os.close(taken)

    def read_memory(self) -> None:
        """Search what the open memory holds now."""
        for (pid, _), (memory, places) in self.open_memory.items():
            try:
                os.lseek(places, 0, os.SEEK_SET)
                with open(places, encoding="ascii", errors="replace", closefd=False) as lines:
                    writable = [line.split()[0] for line in lines if " rw" in line]
            except ProcessLookupError:  # it has ended, or has become another program
                continue
            for place in writable:
                start, end = (int(part, 16) for part in place.split("-"))
                with contextlib.suppress(OSError, OverflowError):
                    self.search(os.pread(memory, min(end - start, _LARGEST), start), "memory", pid)


def _content(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(descriptor, 1 << 20)
    finally:
        os.close(descriptor)


def main(mark: str) -> None:
    """Look until standard input ends; a line there has the memory read that is open."""
    thief = Thief(mark)
    print("looking", flush=True)
    while True:
        thief.look()
        if select.select([0], [], [], 0)[0]:
            asked = os.read(0, 1)
            thief.read_memory()
            if not asked:
                break
            print("read", flush=True)
    found = {number: sorted(where) for number, where in sorted(thief.found.items())}
    print(json.dumps({"found": found, "let_in": sorted(thief.let_in), "looks": thief.looks}))


if __name__ == "__main__":
    main(sys.argv[1])
