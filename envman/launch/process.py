"""Replace this process with a command in an environment's current generation.

The process goes through the generation's own path, not through the environment's link: after a switch it
goes on importing from the generation that it started in. It also holds a shared lock on the generation's
manifest, in a file descriptor that every child inherits, so that `envman gc` sees that somebody lives there,
in another container on the same volume, too.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time

from envman.errors import ExitCode, Problem, ResolveError, StoreError
from envman.inside.protocol import HELD_DESCRIPTOR
from envman.resolver.variables import NO_BYTECODE, child_environment
from envman.signing.policy_file import policy_file
from envman.store import layout
from envman.store.root import current_generation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

    from envman.resolver.snapshot import Snapshot

PATIENCE = 5.0
"""Seconds to wait for whoever keeps others out of a generation: `envman gc` does, while it moves it away."""

_PAUSE = 0.01
_SHARED = bytes(32)
"""`struct flock` of the C library, with F_RDLCK and SEEK_SET, which are 0: the whole file, however long."""

_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""What a file system says that has no locks, and a kernel that has none of this kind."""


def tell(text: str) -> None:
    """Write to standard error. Where that can't be written nobody reads it, and the launch goes on."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        sys.stderr = _nowhere()  # the buffer's rest would be tried again at Python's end, which fails then


def show_help(text: str, is_wanted: bool) -> int:
    """Write a command's help to standard output; returns the exit code, 0 where that was asked for."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        sys.stdout = _nowhere()
        tell(f"envman: standard output: {error.strerror}\n")
        return ExitCode.LAUNCH
    return ExitCode.OK if is_wanted else ExitCode.LAUNCH


def _nowhere() -> TextIO:
    return os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")


class Addition:
    """What a launch adds to the variables of a command, and under which name it complains.

    `is_component` has the command be closed to its neighbours from its start on; `overlay` is the folder of
    a dev overlay of the generation that is current, which the command then runs in; `is_a_test` has it get no
    credential of the environment's.
    """

    __slots__ = ("caller", "is_a_test", "is_component", "overlay", "variables")

    def __init__(
        self,
        caller: str,
        variables: Mapping[str, str],
        is_component: bool = False,
        overlay: str = "",
        is_a_test: bool = False,
    ) -> None:
        self.caller = caller
        self.variables = variables
        self.is_component = is_component
        self.overlay = overlay
        self.is_a_test = is_a_test


EXEC = Addition("exec", {})


def replace_process(
    snapshot: Snapshot, environment: str, command: list[str], addition: Addition = EXEC
) -> int:
    """Become the command; returns an exit code (126, 127) only where that fails.

    Raises ResolveError where the environment is not declared or not built, PolicyError where the policy
    refuses it, CredentialError where one of its credentials can't be had.
    """
    declared = snapshot.table.environment(environment)
    if declared is None:
        remedy = "Publish envman.toml anew: envman build"
        raise ResolveError(Problem(f"environment '{environment}'", "is not in the published table", remedy))
    generation, descriptor = hold_generation(snapshot, environment)
    check_held(snapshot.root, environment, generation, descriptor, with_files=True)
    _make_inheritable(descriptor)
    bin_folder = f"{layout.generation_path(snapshot.root, generation)}/bin"
    variables = child_environment(os.environ, bin_folder, *declared) | as_signed()
    if addition.overlay:
        variables.update(of_overlay(addition.overlay, variables["PATH"]))
    credentials = () if addition.is_a_test else snapshot.table.credentials(environment)
    if credentials:
        from envman.launch.own_credentials import own_credentials

        variables.update(own_credentials(environment, credentials))
    variables.update(addition.variables)
    try:
        own = (f"{addition.overlay}/bin", bin_folder)
        program = find_program(command[0], variables["PATH"], own, environment)
    except ProgramError as error:
        tell(f"envman {addition.caller}: {error}\n")
        return error.exit_code
    return become(program, command, variables, addition)


def of_overlay(overlay: str, path: str) -> dict[str, str]:
    """Variables of a process in a dev overlay; `path` is PATH as it is in the generation below it.

    Nothing is written beside what is imported: pytest would, into the generation.
    """
    return {"VIRTUAL_ENV": overlay, "PATH": f"{overlay}/bin:{path}", **NO_BYTECODE}


def hold_generation(snapshot: Snapshot, environment: str) -> tuple[str, int]:
    """Take a shared lock on the current generation: its identifier, and the descriptor that holds the lock.

    The lock lasts as long as any process has the descriptor open. The generation is the snapshot's; where
    that was replaced and collected since, it is the one that is current now. On a file system without locks
    nothing is held: there `envman gc` removes nothing. Raises ResolveError, StoreError.
    """
    generation = snapshot.generation(environment)
    until = None
    while True:
        path = layout.manifest_path(snapshot.root, generation)
        descriptor = _locked(path)
        if descriptor is not None:
            return generation, descriptor
        if until is None:
            until = time.monotonic() + PATIENCE
        elif time.monotonic() > until:
            raise _out_of_patience(path, environment)
        else:
            time.sleep(_PAUSE)
        before, generation = generation, current_generation(snapshot.root, environment)
        if before == generation and not os.path.exists(path):
            break
    what = f"its current generation in {snapshot.root} is not whole"
    raise ResolveError(Problem(f"environment '{environment}'", what, f"Run: envman build {environment}"))


def check_held(root: str, environment: str, generation: str, held: int, with_files: bool) -> None:
    """Where a policy stands: raises PolicyError unless a held generation is signed for the environment.

    `with_files`: and all of its files are as they were signed. Each start of an interpreter looks for that; a
    fork of a server's is of what was started.
    """
    if policy := policy_file():
        from envman.store.signed import check_files, check_generation

        check = check_files if with_files else check_generation
        check(policy, root, environment, generation, held)


def as_signed() -> dict[str, str]:
    """Variables that keep a generation as it was signed, where a policy stands: `python -O` has bytecode of
    its own, and the next start would refuse what it adds.
    """
    return NO_BYTECODE if policy_file() else {}


def _locked(path: str) -> int | None:
    """A descriptor of a manifest with a shared lock on it; None where it is gone, or just being collected.

    The lock belongs to the open file description (fcntl(2), F_OFD_SETLK). Nobody who can't write the manifest
    can take one that keeps this out, as anybody can with flock(2).
    """
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, "opened", error) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # a pipe, say, at which nobody ends to wait
        os.close(descriptor)
        raise StoreError(Problem(path, "is no file", "Find out who made it; build again: envman build"))
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _SHARED)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            os.close(descriptor)
            if error.errno in {errno.EAGAIN, errno.EACCES}:
                return None
            raise _unusable(path, "locked", error) from None
    if _still_there(descriptor, path):
        return descriptor
    os.close(descriptor)
    return None


def _unusable(path: str, verb: str, error: OSError) -> StoreError:
    return StoreError(Problem(path, f"can't be {verb}: {error.strerror}", "Check this user's rights to it."))


def _out_of_patience(path: str, environment: str) -> StoreError:
    from envman.system.lock_holders import UNSEEN, holder_text

    try:
        holder = holder_text(path)
    except OSError:
        holder = UNSEEN
    what = f"its generation has been locked for {PATIENCE:.0f} s by {holder}: {path}"
    remedy = "Only `envman gc` takes that lock, for a moment. Look at that process, or end it."
    return StoreError(Problem(f"environment '{environment}'", what, remedy))


def _still_there(descriptor: int, path: str) -> bool:
    """Whether the locked file still has its name: a collector may have moved it before the lock was ours."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _make_inheritable(descriptor: int) -> None:
    import fcntl

    try:
        fcntl.fcntl(descriptor, fcntl.F_DUPFD, HELD_DESCRIPTOR)
        os.close(descriptor)
    except OSError:  # the process may open fewer descriptors than that
        os.set_inheritable(descriptor, True)


class ProgramError(Exception):
    """The command can't be run; `exit_code` is what a shell gives for the same."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def _why_another_pythons(file: str, name: str) -> str:
    from envman.launch.other_pythons import why_another_pythons  # most programs are the environment's own

    return why_another_pythons(file, name)


def find_program(name: str, path: str, own: tuple[str, ...], environment: str) -> str:
    """The file that a command's name stands for; `own` are the environment's bin folders.

    A command that is found outside of the generation may be a shell or `tini`, but never Python or a script
    of another interpreter's: that would be the caller's interpreter. Raises ProgramError.
    """
    if "/" in name:
        return name
    denied = ""
    for folder in path.split(":"):
        candidate = f"{folder or '.'}/{name}"
        if not os.path.isfile(candidate):
            if folder in own and os.path.islink(candidate):
                lost = f"{candidate} leads to {os.path.realpath(candidate)}, which is not there"
                raise ProgramError(f"{lost}: is the base interpreter installed?", ExitCode.NOT_FOUND)
            continue
        if not os.access(candidate, os.X_OK):
            denied = denied or candidate
        elif folder not in own and (why := _why_another_pythons(candidate, name)):
            missing = f"'{name}' is not installed in the environment '{environment}'"
            another = f"{candidate} belongs to another interpreter: {why}"
            raise ProgramError(f"{missing}; {another}", ExitCode.NOT_FOUND)
        else:
            return candidate
    if denied:
        raise ProgramError(f"{denied}: permission denied", ExitCode.NOT_EXECUTABLE)
    raise ProgramError(f"'{name}': command not found in the environment '{environment}'", ExitCode.NOT_FOUND)


def become(program: str, command: list[str], variables: Mapping[str, str], addition: Addition) -> int:
    """Replace this process by a program; returns an exit code (126, 127) only where that fails."""
    # Python ignores SIGPIPE and SIGXFSZ, and what is ignored stays ignored across exec.
    import _signal

    _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)
    _signal.signal(_signal.SIGXFSZ, _signal.SIG_DFL)
    if addition.is_component:
        from envman.launch.closed_process import execute_closed

        execute_closed(program, command, variables)
    try:
        os.execve(program, command, variables)
    except OSError as error:
        missing = error.errno == errno.ENOENT and not os.path.lexists(program)
        reason = (
            "no '#!' line, or built for another machine" if error.errno == errno.ENOEXEC else error.strerror
        )
        tell(f"envman {addition.caller}: {program}: {reason}\n")
        return ExitCode.NOT_FOUND if missing else ExitCode.NOT_EXECUTABLE
