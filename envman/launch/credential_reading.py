"""Reading an environment's credentials, with the rights of this process, as a workload starts.

They go to the workload as one file in memory: `packed` writes it, `inside/taken_credentials.py` reads it.
Nothing of them is in a message, and nothing is kept for the next workload.
"""

from __future__ import annotations

import errno
import os
import stat

from envman.errors import EnvmanError, Problem
from envman.inside.protocol import CONTENT_ENDS, CONTENT_OF_FILE, CONTENT_OF_VARIABLE, CONTENT_REFUSED
from envman.resolver.credential import FILE
from envman.resolver.inherited import PROGRAMS, PROGRAMS_GET
from envman.resolver.variables import matches
from envman.system.trusted_path import trusted_path, why_untrusted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from subprocess import Popen

    from envman.resolver.credential import Credential

LARGEST = 2**20
"""Bytes of a credential."""

LARGEST_VARIABLE = 2**17 - 2**10
"""Bytes of one that a variable holds: the kernel hands on no longer variable (execve(2), MAX_ARG_STRLEN)."""

FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

AGAIN = 10
"""How often a file is looked for: Kubernetes removes the old one right after a link leads to the new."""

COMMAND_LIMIT = 10.0
"""Seconds that a command has."""


class CredentialError(EnvmanError):
    """A credential that can't be had. Whoever needs it does not start."""


def packed(environment: str, credentials: Iterable[Credential]) -> tuple[bytes, list[str]]:
    """The content of the file in memory, and what of it a log should mask.

    Raises CredentialError for the first one that can't be read, or can't be what it should become.
    """
    parts: list[bytes] = []
    secrets: list[str] = []
    for credential in credentials:
        where = f"environment '{environment}': credential '{credential.name}'"
        source = credential.words[0]
        content = _of_file(where, source) if credential.source == FILE else _of_command(where, credential)
        kind = CONTENT_OF_FILE
        if not content:
            raise CredentialError(Problem(where, f"{source} gives nothing", "Look at what writes it."))
        if not credential.is_path:
            kind, content = CONTENT_OF_VARIABLE, _for_variable(where, source, content)
            secrets.append(content.decode())
        parts += [kind, credential.variable.encode(), b"%d" % len(content), content]
    return b"\0".join([*parts, CONTENT_ENDS, b""]), secrets


def refusing(reason: str) -> bytes:
    """The content of the file in memory where there are no credentials."""
    return b"\0".join([CONTENT_REFUSED, reason.encode(errors="replace"), b""])


def _of_file(where: str, path: str) -> bytes:
    """The content of a file, whoever's it is, in a place where nobody else can have put it."""
    user = os.geteuid()
    remedy = f"Let it be a file that the user {user} may read, as the component runs as that one, in folders "
    remedy += "that root or that user alone may write."
    try:
        with open(_opened(path), "rb") as stream:
            return _checked(where, path, stream.read(LARGEST + 1) or b"")
    except OSError as error:
        raise CredentialError(Problem(where, f"{path} can't be read: {error.strerror}", remedy)) from None


def _opened(path: str) -> int:
    """A descriptor of the regular file to which a path leads."""
    left = AGAIN
    while True:
        try:
            place = trusted_path(path)
            # before it is opened: to open a device may do something
            if not stat.S_ISREG(os.lstat(place).st_mode):
                raise PermissionError(errno.EACCES, "it is no regular file")
            return os.open(place, FLAGS)
        except FileNotFoundError:
            left -= 1
            if not left:
                raise


def _checked(where: str, source: str, content: bytes) -> bytes:
    if len(content) > LARGEST:
        what = f"{source} gives more than {LARGEST // 2**20} MiB"
        raise CredentialError(Problem(where, what, "Hand over what is needed, or read it elsewhere."))
    return content


def _for_variable(where: str, source: str, content: bytes) -> bytes:
    """The content without the line ends behind it, as of a shell's `$(...)`."""
    content = content.rstrip(b"\r\n")
    problem = ""
    if not content:
        problem = "gives nothing"
    elif b"\0" in content:
        problem = "gives a NUL, which no variable can hold"
    elif len(content) > LARGEST_VARIABLE:
        problem = f"gives more than {LARGEST_VARIABLE // 2**10} KiB, which no variable can hold"
    try:
        content.decode()
    except UnicodeDecodeError:
        problem = problem or "gives what is not UTF-8"
    if problem:
        remedy = "Look at what writes it, or hand it over as a file: path-variable."
        raise CredentialError(Problem(where, f"{source} {problem}", remedy))
    return content


# commands


def _of_command(where: str, credential: Credential) -> bytes:
    """Its error output is this process's: it may say more than a workload should see."""
    import subprocess

    program = credential.words[0]
    reading, writing = os.pipe()
    try:
        if why := why_untrusted(os.stat(trusted_path(program))):
            raise PermissionError(errno.EACCES, f"it {why}")
        process = subprocess.Popen(
            credential.words,
            stdin=subprocess.DEVNULL,
            stdout=writing,
            cwd="/",
            env=_programs_variables(),
            start_new_session=True,
        )
        os.close(writing)
        writing = -1
        content, problem = _output(process, reading)
    except OSError as error:
        content, problem = b"", f"can't be run: {error.strerror}"
    finally:
        for one in (reading, writing):
            if one >= 0:
                os.close(one)
    if problem:
        got = f"it gets the variables of a list, and those that {PROGRAMS_GET} names"
        remedy = f"Run it as the user {os.geteuid()}, as the component does; {got}."
        raise CredentialError(Problem(where, f"{program} {problem}", remedy))
    return _checked(where, program, content)


def _programs_variables() -> dict[str, str]:
    listed = (*PROGRAMS, *os.environ.get(PROGRAMS_GET, "").split())
    return {name: value for name, value in os.environ.items() if matches(name, listed)}


def _output(process: Popen[bytes], reading: int) -> tuple[bytes, str]:
    """What a command writes, at most a little more than it may; and what is wrong with how it ended."""
    import select
    import time

    until = time.monotonic() + COMMAND_LIMIT
    waiting = select.poll()  # its number may be above what select(2) knows
    waiting.register(reading, select.POLLIN)
    content, more = b"", b"."
    while more and len(content) <= LARGEST and waiting.poll(max(0.0, until - time.monotonic()) * 1000):
        more = os.read(reading, 2**16)
        content += more
    if not more and (problem := _how_ended(process, until)) is not None:
        return content, problem
    _end(process)
    return content, "" if len(content) > LARGEST else f"has not ended after {COMMAND_LIMIT:.0f} s"


def _how_ended(process: Popen[bytes], until: float) -> str | None:
    """What is wrong with how a command ends, which it does about now; None where it goes on."""
    import time

    pause = 0.001
    try:
        while (ended := os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG)) is None:
            if time.monotonic() >= until:
                return None
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
    except ChildProcessError:  # `Popen.wait` makes that a success
        process.returncode = 0
        return "has ended, and how is not known, as this process ignores SIGCHLD or waits for any child"
    status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
    process.returncode = status
    return f"ends with {status}; what it says is in the component's log" if status else ""


def _end(process: Popen[bytes]) -> None:
    import signal

    try:
        os.killpg(process.pid, signal.SIGKILL)  # its number is its own until it is waited for
    except (ProcessLookupError, PermissionError):
        process.kill()
    process.wait()
