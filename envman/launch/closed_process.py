"""A process that its neighbours can't look into: not its variables, not its memory, not its descriptors.

prctl(2), PR_SET_DUMPABLE closes /proc/PID and ptrace(2) to other processes of the same user, but execve(2)
opens them again until the new program has asked for the same. In between whoever polls /proc reads the
variables, and whoever has opened /proc/PID/mem reads the memory for as long as the process lives. The kernel
leaves one kind of program closed from its first instruction on: one that its user may not read. So a
component is executed by an unreadable copy of its interpreter's dynamic loader (ld.so(8)), which loads the
interpreter. The copy has no name, and is within reach of this process only, which is closed.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_PR_GET_DUMPABLE, _PR_SET_DUMPABLE, _PR_SET_NAME = 3, 4, 15
_CAP_DAC_OVERRIDE = 1 << 1

_MFD_EXEC = 0x10
"""Since Linux 6.3, where it may be needed (vm.memfd_noexec=1); older kernels refuse it."""

_ELF_64_LITTLE = b"\x7fELF\x02\x01"
_PT_INTERP = 3


def close_process(name: str = "") -> bool:
    """Close this process to others of its user; returns whether it was closed before, from its start on.

    `name` is what `ps -o comm` shows from then on, as the copy's name says nothing. Without prctl(2), on
    another system than Linux, there is no such /proc, and the process counts as closed.
    """
    import ctypes

    try:
        prctl = ctypes.CDLL(None).prctl
    except AttributeError:
        return True
    was_closed: bool = prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) != 1
    prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if name:
        prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
    return was_closed


def may_read_anything() -> bool:
    """Whether this process has CAP_DAC_OVERRIDE: no program is unreadable to it then, and the kernel closes
    it to all that have fewer capabilities.
    """
    with open("/proc/self/status", encoding="ascii", errors="replace") as stream:
        held = next((line.split()[1] for line in stream if line.startswith("CapEff:")), "0")
    return bool(int(held, 16) & _CAP_DAC_OVERRIDE)


def execute_closed(program: str, command: list[str], variables: Mapping[str, str]) -> None:
    """Become the program as execve(2) does, closed from its first instruction on.

    Returns where that can't be had: the program is no 64-bit ELF with a loader, a script for one, or the
    kernel's policy executes nothing from memory. The caller then executes the program itself.
    """
    if "/" not in program:
        program = f"./{program}"  # a loader looks for a mere name among the libraries
    loader = closed_program(program)
    if loader is None:
        return
    try:
        os.execve(loader, ["envman", program, *command[1:]], variables)
    except OSError:
        os.close(loader)


def closed_program(program: str) -> int | None:
    """A descriptor to execute in a program's place, with the program's path before its arguments.

    None where that can't be had, as `execute_closed` says.
    """
    try:
        if os.access(program, os.X_OK) and (loader := _loader_of(program)):
            return _unreadable_copy(loader)
    except (AttributeError, OSError):
        return None
    return None


def _loader_of(program: str) -> str:
    """The loader that a program names in its PT_INTERP (System V ABI); empty where it names none."""
    with open(program, "rb") as stream:
        head = stream.read(64)
        if not head.startswith(_ELF_64_LITTLE):
            return ""
        size, count = _number(head, 0x36, 2), _number(head, 0x38, 2)
        stream.seek(_number(head, 0x20, 8))  # patchelf(1) puts them at the end
        entries = stream.read(size * count)
        for entry in range(0, len(entries), size or 1):
            if _number(entries, entry, 4) == _PT_INTERP:
                stream.seek(_number(entries, entry + 8, 8))
                return stream.read(min(_number(entries, entry + 32, 8), 4096)).rstrip(b"\0").decode()
    return ""


def _number(content: bytes, place: int, size: int) -> int:
    return int.from_bytes(content[place : place + size], "little")


def _unreadable_copy(file: str) -> int:
    """A descriptor of a copy in memory that may be executed and not be read; it is closed by execve."""
    with open(file, "rb") as stream:
        content = stream.read()
    try:
        descriptor = os.memfd_create("envman", os.MFD_CLOEXEC | _MFD_EXEC)
    except OSError:
        descriptor = os.memfd_create("envman")
    os.write(descriptor, content)
    os.fchmod(descriptor, 0o111)
    return descriptor
