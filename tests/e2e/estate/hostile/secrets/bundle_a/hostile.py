"""Tries, while it is parsed and as a task, to get at what is not its own; notes what came of each attempt.

Secrets are known by their form: `canary`, a name, 16 digits. This file holds none, and notes names alone.
"""

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import re
import signal
import socket
import time
from pathlib import Path

from airflow.sdk import DAG, task

NOTES = Path(os.environ["E2E_NOTES"])
HOME = Path(os.environ["AIRFLOW_HOME"])
ROOT = Path(os.environ["ENVMAN_ROOT"])
CANARY = re.compile(rb"canary_([a-z]+)_[0-9a-f]{16}")
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
LIBC.ptrace.restype = ctypes.c_long
PTRACE_ATTACH, PTRACE_DETACH = 16, 17
WALL = 0x40000000
PR_SET_DUMPABLE = 4


def canaries(content: bytes) -> list[str]:
    return sorted({found.decode() for found in CANARY.findall(content)})


def refused(error: OSError) -> str:
    return errno.errorcode.get(error.errno, str(error))


def outcome(attempt, *arguments):
    """What an attempt gave, or the error that stopped it."""
    try:
        return attempt(*arguments)
    except OSError as error:
        return refused(error)


def everybody() -> list[tuple[str, int]]:
    """All other processes, and what they are; the test has named those of interest."""
    named = {pid: name for name, pid in json.loads((NOTES / "targets").read_text()).items()}
    named[os.getppid()] = "its parent"
    found = []
    for folder in Path("/proc").iterdir():
        entry = folder.name
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                words = Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            # The API server has children, which come and go.
            kind = (
                "api-server" if "api-server" in words or "api_server" in words else f"{entry}: {words[:150]}"
            )
            found.append((named.get(int(entry), kind), int(entry)))
    return found


def targets() -> dict[str, int]:
    return json.loads((NOTES / "targets").read_text()) | {"its parent": os.getppid()}


# secrets


def memory_of(pid) -> list[str]:
    """The canaries in a process's memory."""
    found = set()
    maps = Path(f"/proc/{pid}/maps").read_text()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in maps.splitlines():
            words = line.split()
            if "r" not in words[1] or words[-1] in {"[vvar]", "[vsyscall]", "[vvar_vclock]"}:
                continue
            at, end = (int(word, 16) for word in words[0].split("-"))
            while at < end:
                try:
                    memory.seek(at)
                    content = memory.read(min(end - at, 2**22))
                except (OSError, ValueError, OverflowError):
                    break
                found |= set(canaries(content))
                at += len(content) or 2**22
    return sorted(found)


def variables_of(pid) -> list[str]:
    return canaries(Path(f"/proc/{pid}/environ").read_bytes())


def readable_variables(pid) -> str:
    variables_of(pid)  # where a process has given itself a title it stands in their place
    return "done"


def opened(attempt) -> dict[str, object]:
    """Of which processes it gives anything, and what."""
    found = {}
    for name, pid in everybody():
        try:
            found[name] = attempt(pid)
        except OSError:
            continue
    return found


def readable_descriptors(pid) -> str:
    return list_folder(Path(f"/proc/{pid}/fd"))


def own_descriptors() -> dict[str, str]:
    """What each is: a copy of another one, or where it leads."""
    found, first = {}, {}
    for number in sorted(int(entry.name) for entry in Path("/proc/self/fd").iterdir()):
        try:
            target = str(Path(f"/proc/self/fd/{number}").readlink())
        except OSError:
            continue  # that of this very listing
        found[str(number)] = f"as {first[target]}" if target in first else re.sub(r":\[.*|.*/", "", target)
        first.setdefault(target, number)
    return found


# processes


def ptrace(pid) -> str:
    if LIBC.ptrace(PTRACE_ATTACH, pid, None, None):
        return errno.errorcode[ctypes.get_errno()]
    os.waitpid(pid, WALL)  # it has stopped
    LIBC.ptrace(PTRACE_DETACH, pid, None, None)
    os.kill(pid, signal.SIGCONT)
    return "done"


def may_signal(pid) -> str:
    os.kill(pid, 0)
    return "done"


def become_root() -> str:
    os.setuid(0)
    return "done"


# fork servers


def ask(path: str) -> str:
    """Have a workload started in the environment of a server."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(path)
        request = {
            "entry": "parse",
            "name": "stolen",
            "umask": 18,
            "folder": "/",
            "added": [],
            "component": [],
            "credentials": False,
            "shared": [],
        }
        pairs = [socket.socketpair() for _ in range(4)]
        descriptors = [pair[0].fileno() for pair in pairs]
        with contextlib.suppress(BrokenPipeError):  # it was refused at once; the answer is there
            socket.send_fds(connection, [json.dumps(request).encode() + b"\n"], descriptors)
        answer = json.loads(connection.recv(4096) or b"{}")
        return "done" if "pid" in answer else answer.get("refused", "no answer")


def servers() -> dict[str, str]:
    """Ask all servers, by environment."""
    sockets = json.loads((NOTES / "sockets").read_text())
    return {environment: outcome(ask, path) for environment, path in sockets.items()}


def lives(pid) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def from_outside(attempt) -> object:
    """The same, from a process that has left: a grandchild in a session of its own."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setsid()
        parent = os.getpid()
        if os.fork() == 0:
            while os.getppid() == parent:  # it has not ended yet
                time.sleep(0.01)
            try:
                os.write(writing, json.dumps(outcome(attempt)).encode())
            finally:
                os._exit(0)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        return json.loads(stream.read() or b'"nothing"')


def kill_the_own_server() -> None:
    """Ask again, from a process that is below no fork server any more: it has killed its own.

    This workload ends with that server; the grandchild's answer is a note.
    """
    server = os.getppid()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            if "fork_server" in Path(f"/proc/{server}/cmdline").read_text():
                os.kill(server, signal.SIGKILL)
                while lives(server):
                    time.sleep(0.01)
            note("assassin", servers())
        os._exit(0)
    while not (NOTES / "assassin").exists():  # a workload with a server does not live to see it
        time.sleep(0.01)


# files


def append(path: Path) -> str:
    with path.open("ab"):
        return "done"


def make_in(folder: Path) -> str:
    made = folder / f"hostile-{os.getpid()}"
    made.touch()
    made.unlink()
    return "done"


def lock(path: Path) -> str:
    with path.open("rb") as stream:
        fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return "done"


def generation_file(environment: str) -> Path:
    return next((ROOT / environment).glob("lib/python3*/site-packages/airflow/__init__.py"))


def list_folder(path: Path) -> str:
    return "done" if list(path.iterdir()) else "empty"


def read_logs() -> str:
    """Read what tasks of other Dags have logged."""
    (path,) = (folder for folder in (HOME / "logs").iterdir() if folder.name == "dag_id=victim")
    return list_folder(path)


def all_attempts() -> dict[str, object]:
    LIBC.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # its own memory is its own
    attempts = {
        "own memory": lambda: memory_of("self"),  # first: it holds what the others find
        "own variables": lambda: canaries(repr(dict(os.environ)).encode()),
        "own variables at the start": lambda: variables_of("self"),
        "own descriptors": own_descriptors,
        "variables of others": lambda: opened(readable_variables),
        "memory of others": lambda: opened(memory_of),
        "descriptors of others": lambda: opened(readable_descriptors),
        "airflow.cfg": lambda: canaries((HOME / "airflow.cfg").read_bytes()),
        "database": lambda: append(Path(json.loads((NOTES / "database").read_text()))),
        "logs of others": read_logs,
        "ptrace": lambda: {name: outcome(ptrace, pid) for name, pid in targets().items()},
        "signals": lambda: {name: outcome(may_signal, pid) for name, pid in targets().items()},
        "root": become_root,
        "servers": servers,
        "servers from outside": lambda: from_outside(servers),
        "run folder": lambda: make_in(HOME / "run"),
        "run folder's names": lambda: list_folder(HOME / "run"),
        "table": lambda: append(ROOT / ".state/table"),
        "root folder": lambda: make_in(ROOT),
        "generations": lambda: make_in(ROOT / ".gen"),
        "own generation": lambda: append(generation_file("env_a")),
        "another's generation": lambda: append(generation_file("env_b")),
        "lock on a used generation": lambda: lock(ROOT / "env_b/envman.json"),
        "lock on an idle generation": lambda: lock(ROOT / "idle/envman.json"),
        "lock of builders": lambda: lock(ROOT / ".lock/store"),
    }
    return {"user": os.getuid()} | {name: outcome(attempt) for name, attempt in attempts.items()}


def note(name: str, content: object) -> None:
    (NOTES / f"{name}.new").write_text(json.dumps(content))
    (NOTES / f"{name}.new").replace(NOTES / name)


if not (NOTES / "parse").exists():
    while not (NOTES / "sockets").exists():
        time.sleep(0.1)
    note("parse", all_attempts())

with DAG("hostile", schedule=None):

    @task
    def attempt():
        note("task", all_attempts())

    attempt()

with DAG("assassin", schedule=None):

    @task
    def kill():
        kill_the_own_server()

    kill()
