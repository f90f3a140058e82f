"""Put this process into cgroups, give up the component's user, and become a program.

    python -I -S run_step.py --environment env_a --user team_a --group etl --procs FILE --rlimit AS=BYTES
        --variables 103 -- PROGRAM ARGUMENT...

The component's own interpreter runs it, as the component's user; `command` writes that line. This module
stands alone and imports next to nothing, as every start pays for it. Descriptors that it inherits go to the
program as they are. Whatever goes wrong is one line on standard error and exit status 125: the program never
runs without what was asked for.

`--guest HOME` is for what a build tries out: HOME is that folder, no program gives it further rights, and the
keys of the session that has started it (keyrings(7)) are not its own.

`--variables` is a descriptor with the program's variables (see `variables_file`). They are not this process's
own, as LD_PRELOAD and its like would then be obeyed here, with the component's rights. Without it the program
gets the variables of this process. HOME, USER and LOGNAME are the user's where one is given.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "run_step.py")
EXIT = 125
"""As that of `envman exec` where it can't start anything."""

SETGID, SETUID = 1 << 6, 1 << 7
NOBODYS = 2**32 - 1
"""No ID: the kernel takes it for 'leave it as it is'."""


class Refused(Exception):  # noqa: N818  # it is what happens, and no mistake of the program's
    """Why a process can't be confined: the cause, and the remedy behind a semicolon."""


class Identity:
    """A user with a group, as the kernel wants it."""

    __slots__ = ("gid", "groups", "home", "name", "uid")

    def __init__(self, name: str, uid: int, gid: int, groups: list[int], home: str) -> None:
        self.name = name
        self.uid = uid
        self.gid = gid
        self.groups = groups
        self.home = home


class StepSettings:
    """What the arguments ask for."""

    __slots__ = ("environment", "group", "guest", "procs", "program", "rlimits", "user", "variables")

    def __init__(self) -> None:
        self.environment = ""
        self.user = ""
        self.group = ""
        self.guest = ""
        self.procs: list[str] = []
        self.rlimits: dict[str, int] = {}
        self.variables = -1
        self.program: list[str] = []


def command(
    python: str,
    environment: str,
    who: tuple[str, str] | None,
    procs: Sequence[str],
    rlimits: Mapping[str, int],
    variables: int = -1,
) -> list[str]:
    """The words before a program's own that confine it.

    `python` is the component's interpreter; `who` a user and its group, '' for the user's own one; `procs`
    and `rlimits` are a Confinement's. `variables` is the descriptor of `variables_file`'s that the
    process will find; -1 for its own variables.
    """
    words = [python, "-I", "-S", SCRIPT, "--environment", environment]
    if who:
        words += ["--user", who[0]]
        words += ["--group", who[1]] if who[1] else []
    for file in procs:
        words += ["--procs", file]
    for name, value in rlimits.items():
        words += ["--rlimit", f"{name}={value}"]
    if variables >= 0:
        words += ["--variables", str(variables)]
    return [*words, "--"]


def variables_file(variables: Mapping[str, str]) -> int:
    """A new descriptor of a file in memory with variables, for `--variables`. The caller closes it."""
    descriptor = os.memfd_create("variables")
    content = b"\0".join(
        b"%s=%s" % (os.fsencode(name), os.fsencode(text)) for name, text in variables.items()
    )
    with open(descriptor, "wb", closefd=False) as stream:
        stream.write(content)
    return descriptor


def refusal(user: str, group: str = "") -> str:
    """Why a process of this one's can't become a user; empty where it can.

    A cause and a remedy in one line, such as would be printed by the script.
    """
    try:
        _must_be_allowed(identity(user, group))
    except Refused as refused:
        return str(refused)
    return ""


def identity(user: str, group: str = "") -> Identity:
    """Look up a user, by name or number, and its groups; raises Refused where there is none of it.

    A number without an entry in the host's list of users needs a group, and has no home but '/'.
    """
    import pwd

    try:
        entry = pwd.getpwuid(_number(user, "user")) if user.isdecimal() else pwd.getpwnam(user)
    except KeyError:
        if not user.isdecimal():
            remedy = f"create it (useradd --system {user}), or correct `user` in the environment's spec"
            raise Refused(f"the user '{user}' does not exist on this host; {remedy}") from None
        if not group:
            what = f"the user {user} has no entry on this host, and so no group"
            raise Refused(f"{what}; add `group` to the environment's spec, or create the user") from None
        gid = _group(group)
        found = Identity(user, _number(user, "user"), gid, [gid], "/")
    else:
        gid = _group(group) if group else entry.pw_gid
        groups = sorted({gid, *os.getgrouplist(entry.pw_name, gid)})
        found = Identity(entry.pw_name, entry.pw_uid, gid, groups, entry.pw_dir)
    if found.uid == 0:
        remedy = "name another in the environment's spec"
        raise Refused(f"the user '{user}' is the superuser, whom nothing confines; {remedy}")
    return found


def _group(group: str) -> int:
    if group.isdecimal():
        return _number(group, "group")
    import grp

    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        remedy = f"create it (groupadd --system {group}), or correct `group` in the environment's spec"
        raise Refused(f"the group '{group}' does not exist on this host; {remedy}") from None


def _number(text: str, what: str) -> int:
    if int(text) >= NOBODYS:
        raise Refused(f"{text} is no number of a {what}; correct `{what}` in the environment's spec")
    return int(text)


def _must_be_allowed(wanted: Identity) -> None:
    """Raise Refused where this process has no right to become somebody else."""
    if _is_already(wanted) or _capabilities("CapEff") & (SETUID | SETGID) == SETUID | SETGID:
        return
    what = f"the component runs as uid {os.geteuid()} and has no right to become the user '{wanted.name}'"
    remedy = "run it as root, or give its service the capabilities CAP_SETUID and CAP_SETGID"
    raise Refused(f"{what}; {remedy}")


def _is_already(wanted: Identity) -> bool:
    return set(os.getresuid()) == {wanted.uid} and set(os.getresgid()) == {wanted.gid}


def _capabilities(*sets: str) -> int:
    with open("/proc/self/status", encoding="ascii", errors="replace") as stream:
        lines = [line.partition(":") for line in stream]
    found = 0
    for name, _, value in lines:
        if name in sets:
            found |= int(value, 16)
    return found


def main(words: list[str]) -> NoReturn:
    """Confine this process and become the program; ends with 125 where that can't be."""
    settings = StepSettings()
    try:
        parse(words, settings)
        variables = _read_variables(settings.variables)
        wanted = identity(settings.user, settings.group) if settings.user else None
        _enter(settings.procs)
        _set_rlimits(settings.rlimits)
        if settings.guest:
            _leave_builder()
        if wanted:
            become(wanted)
            variables |= {b"HOME": os.fsencode(wanted.home)}
            variables |= dict.fromkeys((b"USER", b"LOGNAME"), os.fsencode(wanted.name))
        if settings.guest:
            variables |= dict.fromkeys((b"HOME", b"TMPDIR"), os.fsencode(settings.guest))
        _execute(settings.program, variables)
    except Refused as refused:
        message = str(refused)
    except Exception as error:  # noqa: BLE001  # whatever it is, the program must not run
        message = f"{type(error).__name__}: {error}; this is a defect of envman's, please report it"
    sys.stderr.write(f"envman: environment '{settings.environment}': {' '.join(message.split())}\n")
    sys.stderr.flush()
    os._exit(EXIT)


def parse(words: list[str], settings: StepSettings) -> None:
    """Read the arguments into settings, as far as they make sense; raises Refused."""
    given = iter(words)
    for word in given:
        if word == "--":
            settings.program = list(given)
            break
        value = next(given, "")
        if word in {"--environment", "--user", "--group", "--guest"}:
            setattr(settings, word[2:], value)
        elif word == "--procs":
            settings.procs.append(value)
        elif word == "--rlimit":
            name, _, number = value.partition("=")
            settings.rlimits[name] = int(number)
        elif word == "--variables":
            settings.variables = int(value)
        else:
            raise Refused(f"run_step.py knows no {word}; start the component anew, with one envman")
    if not settings.program or (settings.group and not settings.user):
        raise Refused("run_step.py was given no program or a group alone; this is a defect of envman's")


def _read_variables(descriptor: int) -> dict[bytes, bytes]:
    """The program's variables. Python adds to its own when it starts, so those are read from the kernel."""
    try:
        with open(descriptor if descriptor >= 0 else "/proc/self/environ", "rb") as stream:
            if descriptor >= 0:
                stream.seek(0)
            content = stream.read()
    except OSError as error:
        raise Refused(f"its variables can't be read: {error.strerror}; look at /proc") from None
    pairs = [item.partition(b"=") for item in content.split(b"\0")]
    return {name: value for name, equals, value in pairs if name and equals}


def _enter(procs: list[str]) -> None:
    for file in procs:
        try:
            descriptor = os.open(file, os.O_WRONLY)
            try:
                os.write(descriptor, b"0")  # the process that writes
            finally:
                os.close(descriptor)
        except OSError as error:
            remedy = "its limits would not hold; look at the cgroup, or see: envman doctor"
            raise Refused(f"{file} can't be entered: {error.strerror}; {remedy}") from None


def _set_rlimits(rlimits: dict[str, int]) -> None:
    if not rlimits:
        return
    import resource

    for name, value in rlimits.items():
        which = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(which)[1]
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(which, (allowed, allowed))
        except (OSError, ValueError) as error:
            what = f"the limit {name} of the process can't be set to {allowed}: {error}"
            raise Refused(f"{what}; correct the environment's limits") from None


def become(wanted: Identity) -> None:
    """Give up this process's user, groups and capabilities for good; raises Refused where it can't."""
    _must_be_allowed(wanted)
    try:
        if not _is_already(wanted):
            if os.geteuid() != 0:
                # The kernel takes capabilities away from who ceases to be root, and only then.
                os.setresuid(0, 0, 0)
            os.setgroups(wanted.groups)
            os.setresgid(wanted.gid, wanted.gid, wanted.gid)
            os.setresuid(wanted.uid, wanted.uid, wanted.uid)
            if sorted(os.getgroups()) != wanted.groups:
                raise Refused("it kept groups of the component; look at the container's user namespace")
    except OSError as error:
        remedy = "look at the container's capabilities and user namespace"
        raise Refused(f"can't become the user '{wanted.name}': {error.strerror}; {remedy}") from None
    if not _is_already(wanted) or _could_go_back():
        remedy = "look at the capabilities and securebits of the component's service"
        raise Refused(f"the user '{wanted.name}' could become another one again; {remedy}")


_KEYCTL = {"x86_64": 250, "aarch64": 219, "ppc64le": 271, "s390x": 280}
"""The number of keyctl(2) where there is no function of the C library for it."""


def _leave_builder() -> None:
    """Gain no rights by setuid programs, and have an empty session keyring."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0):  # PR_SET_NO_NEW_PRIVS
        raise Refused("it could gain rights by setuid programs; look at the kernel's version")
    if number := _KEYCTL.get(os.uname().machine):
        libc.syscall(number, 1, None)  # KEYCTL_JOIN_SESSION_KEYRING; a container may have no keys at all


def _could_go_back() -> bool:
    if _capabilities("CapPrm", "CapEff", "CapAmb"):
        return True
    for change in (os.setuid, os.seteuid):
        try:
            change(0)
            return True
        except OSError:
            continue
    return False


def _execute(program: list[str], variables: dict[bytes, bytes]) -> NoReturn:
    # Python ignores these two, and what is ignored stays ignored across exec.
    import _signal

    _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)
    _signal.signal(_signal.SIGXFSZ, _signal.SIG_DFL)
    try:
        os.execve(program[0], program, variables)  # noqa: S606
    except OSError as error:
        remedy = "see that the environment's user may run it, and has no more processes than it may"
        raise Refused(f"{program[0]} can't be started: {error.strerror}; {remedy}") from None
