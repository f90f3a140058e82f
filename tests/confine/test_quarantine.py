"""What a hostile package reaches while a build tries it out: with the builder's rights, and without them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from envman.build.quarantine import Guest, GuestProcesses, GuestRights, quarantine
from envman.confine.step import identity
from envman.errors import InterruptedByUserError
from envman.system.children import CHILDREN
from tests.confine.test_step import PYTHON
from tests.waiting import until

HOSTILE = r"""
import json, os, signal, socket, sys
world, port, victim = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
here = os.path.dirname(os.path.abspath(__file__))

def write(path):
    with open(path, "ab") as stream:
        stream.write(b"POISON")

def swap(path):
    os.symlink("/etc/passwd", path + ".new")
    os.replace(path + ".new", path)

def add(folder):
    open(folder + "/sitecustomize.py", "w").close()

def read(path):
    with open(path, "rb") as stream:
        stream.read()

def open_for_good(path):
    os.chmod(path, 0o4777)

def remounted():
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", here.encode(), None, 0x1000 | 0x20, None):  # remount, bind: writable again
        raise OSError(ctypes.get_errno())

def call():
    socket.create_connection(("127.0.0.1", port), 5).close()

def descriptor():
    os.fstat(200)

def environ():
    with open("/proc/%d/environ" % victim, "rb") as stream:
        stream.read()

ATTEMPTS = {
    "write its own generation": lambda: write(here + "/shared.pyc"),
    "replace a file of its own": lambda: swap(here + "/own.py"),
    "write another generation": lambda: write(world + "/root/.gen/other/shared.pyc"),
    "add to another generation": lambda: add(world + "/root/.gen/other"),
    "read another generation": lambda: read(world + "/root/.gen/other/shared.pyc"),
    "publish": lambda: add(world + "/root"),
    "write the bytecode store": lambda: write(world + "/cache/bytecode"),
    "read the cache": lambda: read(world + "/cache/bytecode"),
    "read the builder's home": lambda: read(world + "/home/.netrc"),
    "read what is the builder's alone": lambda: read("/etc/shadow"),
    "change rights": lambda: open_for_good(here + "/shared.pyc"),
    "mount": remounted,
    "reach the network": call,
    "signal the builder": lambda: os.kill(victim, 0),
    "read the builder's variables": environ,
    "use a descriptor of the builder's": descriptor,
}
done = []
for name, attempt in ATTEMPTS.items():
    try:
        attempt()
        done.append(name)
    except OSError:
        pass
with open(os.path.expanduser("~/mine"), "w") as stream:
    stream.write("a home of its own")
print(json.dumps({"done": done, "of": len(ATTEMPTS), "uid": os.getuid(), "home": sorted(os.listdir(os.path.expanduser("~")))}))
"""
MINE = {"read another generation", "read the cache", "reach the network"}
"""What another user's process may do without a sandbox, where the builder lets everybody read."""


class World:
    """A root folder, caches and a home, with a generation that is being tried out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.guest_folder = folder / "root/.gen/guest"
        for name in ("root/.gen/guest", "root/.gen/other", "cache", "home"):
            (folder / name).mkdir(parents=True)
        (folder / "cache/bytecode").write_text("compiled")
        (folder / "home/.netrc").write_text("secret")
        (folder / "home").chmod(0o700)
        for generation in ("guest", "other"):
            os.link(folder / "cache/bytecode", folder / f"root/.gen/{generation}/shared.pyc")
        (self.guest_folder / "hostile.py").write_text(HOSTILE)
        (self.guest_folder / "own.py").write_text("")
        self.before = self.state()

    def state(self) -> dict[str, tuple[str, bytes]]:
        found = {}
        for path in sorted(self.folder.rglob("*")):
            status = path.lstat()
            content = b"" if stat.S_ISDIR(status.st_mode) else path.read_bytes()
            found[str(path)] = (oct(status.st_mode), content)
        return found

    def guest(self) -> Guest:
        hidden = (str(self.folder / "root"), str(self.folder / "cache"))
        return Guest("env_a", str(self.guest_folder), PYTHON, hidden=hidden)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        made = World(Path(name))
        monkeypatch.setenv("HOME", str(made.folder / "home"))
        yield made


def attack(world: World, processes: GuestProcesses) -> tuple[set[str], dict[str, object]]:
    """What the hostile package has got done, and what else it says."""
    descriptor = os.open(world.folder / "cache/bytecode", os.O_RDWR)
    os.dup2(descriptor, 200)
    with socket.create_server(("127.0.0.1", 0)) as server, subprocess.Popen(["cat"], stdin=-1) as victim:
        try:
            words = [PYTHON, str(world.guest_folder / "hostile.py"), str(world.folder)]
            words += [str(server.getsockname()[1]), str(victim.pid)]
            variables = {"PATH": os.defpath, "HOME": str(world.folder / "home")}
            finished = processes.run(words, variables, str(world.guest_folder), (200,))
        finally:
            victim.stdin.close()  # type: ignore[union-attr]
            os.close(descriptor)
            os.close(200)
    assert finished.exit_code == 0, finished.stderr
    told = json.loads(finished.stdout)
    return set(told["done"]), told


def test_the_attack_is_a_real_one(world: World) -> None:
    """With the builder's rights all of it succeeds but for two: no descriptor is handed on, nothing mounted."""
    done, told = attack(world, GuestProcesses(world.guest(), GuestRights.BUILDERS))
    assert len(done) == told["of"] - 2
    assert done.isdisjoint({"use a descriptor of the builder's", "mount"})
    assert world.state() != world.before


def test_in_a_sandbox_none_of_it_succeeds(world: World) -> None:
    found = quarantine(world.guest(), {})
    assert (found.rights, found.why) == (GuestRights.SANDBOXED, ())
    assert isinstance(found.processes, GuestProcesses)
    done, told = attack(world, found.processes)
    assert done == set()
    assert told["uid"] == identity("nobody").uid
    assert told["home"] == sorted(["mine", world.folder.name])
    assert world.state() == world.before


def test_as_another_user_nothing_is_changed(world: World) -> None:
    processes = GuestProcesses(world.guest(), GuestRights.ANOTHERS, identity("nobody"))
    assert processes.problem({}) == ""
    done, told = attack(world, processes)
    assert done == MINE
    assert told["home"] == ["mine"]
    assert world.state() == world.before


RIGHTS = {
    GuestRights.SANDBOXED: lambda guest: quarantine(guest, {}).processes,
    GuestRights.ANOTHERS: lambda guest: GuestProcesses(guest, GuestRights.ANOTHERS, identity("nobody")),
}


@pytest.mark.parametrize("rights", RIGHTS)
def test_nothing_that_a_package_brings_runs_on_the_way(world: World, rights: GuestRights) -> None:
    """Its programs come first on PATH, and a loader would preload its libraries: here a script leaves marks."""
    programs = world.guest_folder / "bin"
    programs.mkdir()
    for name in ("bwrap", "env", "python", "python3", Path(sys.executable).name):
        (programs / name).write_text(f"#!/bin/sh\nid -u >> {world.folder}/home/ran\n")
        (programs / name).chmod(0o755)
    library = world.guest_folder / "evil.so"
    mark = f'open("{world.folder}/home/ran", O_CREAT | O_WRONLY, 0666)'
    source = f"__attribute__((constructor)) static void run(void) {{ {mark}; }}"
    words = ["gcc", "-shared", "-fPIC", "-include", "fcntl.h", "-x", "c", "-", "-o", str(library)]
    subprocess.run(words, input=source, text=True, check=True)
    variables = {
        "PATH": f"{programs}:{os.defpath}",
        "LD_PRELOAD": str(library),
        "LD_LIBRARY_PATH": str(programs),
    }
    processes = RIGHTS[rights](world.guest())
    finished = processes.run(
        [PYTHON, "-c", "import os; print(os.environ['LD_PRELOAD'])"], variables, str(world.guest_folder)
    )
    assert (finished.exit_code, finished.stdout) == (0, f"{library}\n"), finished.stderr
    assert not (world.folder / "home/ran").exists()


LEAVES = """
import os, signal, sys, time
def stay():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.setsid()
    for descriptor in (0, 1, 2):
        os.close(descriptor)
    os.open(os.devnull, os.O_RDWR)
    time.sleep(60)
    os._exit(0)
def chain(length):
    if os.fork() == 0:
        chain(length - 1) if length else None
        stay()
def bomb():
    while time.monotonic() < END:
        try:
            if os.fork() == 0:
                os.setsid()
        except OSError:
            pass
        time.sleep(0.05)
def stopped():
    if os.fork() == 0:
        os.setsid()
        os.kill(os.getpid(), signal.SIGSTOP)
import resource
resource.setrlimit(resource.RLIMIT_NPROC, (60, 60))
END = time.monotonic() + 20
way = sys.argv[1]
if way == "a daemon":
    chain(0)
elif way == "a long chain":
    chain(30)
elif way == "many":
    [chain(0) for _ in range(40)]
elif way == "a stopped one":
    stopped()
else:
    if os.fork() == 0:
        bomb()
time.sleep(0.1)
os.kill(os.getpid(), signal.SIGABRT) if way == "many" else sys.exit(7)
"""


@pytest.mark.parametrize("way", ["a daemon", "a long chain", "many", "a stopped one", "a fork bomb"])
@pytest.mark.parametrize("rights", RIGHTS)
def test_it_leaves_nothing_running(world: World, rights: GuestRights, way: str) -> None:
    """In sessions of their own, deaf to signals, with no descriptor that anybody waits for."""
    (world.guest_folder / "leaves.py").write_text(LEAVES)
    script = str(world.guest_folder / "leaves.py")
    finished = RIGHTS[rights](world.guest()).run([PYTHON, script, way], {}, str(world.guest_folder))
    assert finished.exit_code == (134 if way == "many" else 7), finished.stderr
    until(lambda: not left(script), lambda: f"it has left {left(script)}", 5)


DEAF = """
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
way = sys.argv[1]
if way in ("children", "a daemon") and os.fork() == 0:
    os.setsid()
    if way == "a daemon" and os.fork():
        os._exit(0)
print("started", file=sys.stderr, flush=True)
if way == "a program that hears":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True:
    time.sleep(1)
"""
WAYS = ["alone", "children", "a daemon", "a program that hears"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("rights", RIGHTS)
def test_what_takes_too_long_is_ended_with_all_that_it_has_started(
    world: World, rights: GuestRights, way: str
) -> None:
    """Deaf to signals and in sessions of their own; one that ends well when told to has failed all the same."""
    script = world.guest_folder / "deaf.py"
    script.write_text(DEAF)
    words = [PYTHON, str(script), way]
    finished = RIGHTS[rights](world.guest()).run(words, {}, str(world.guest_folder), timeout=2.0)
    assert finished.exit_code == 137
    until(lambda: not left(str(script)), lambda: f"it has left {left(str(script))}", 5)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "signals",
    [(signal.SIGINT,), (signal.SIGTERM,), (signal.SIGHUP,), (signal.SIGINT, signal.SIGINT)],
    ids=["SIGINT", "SIGTERM", "SIGHUP", "twice"],
)
def test_an_interrupted_command_leaves_nothing_running_as_another_user(
    world: World, way: str, signals: tuple[signal.Signals, ...]
) -> None:
    """The second signal kills at once what the command has started itself."""
    script = world.guest_folder / "deaf.py"
    script.write_text(DEAF)
    processes = RIGHTS[GuestRights.ANOTHERS](world.guest())
    to_send = list(signals)

    def interrupt(_line: str) -> None:
        while to_send:
            os.kill(os.getpid(), to_send.pop())

    with pytest.raises(InterruptedByUserError), CHILDREN.owned():
        processes.run([PYTHON, str(script), way], {}, str(world.guest_folder), on_line=interrupt)
    until(lambda: not left(str(script)), lambda: f"it has left {left(str(script))}", 10)


def left(script: str) -> list[str]:
    """The processes that run a script."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if os.fsencode(script) in path.read_bytes():
                found.append(path.parent.name)
    return found


@pytest.mark.parametrize("rights", RIGHTS)
def test_it_gains_no_rights_by_setuid_programs(world: World, rights: GuestRights) -> None:
    code = "print(open('/proc/self/status').read().split('NoNewPrivs:')[1].split()[0])"
    finished = RIGHTS[rights](world.guest()).run([PYTHON, "-c", code], {}, str(world.guest_folder))
    assert finished.exit_code == 0, finished.stderr
    assert finished.stdout == "1\n"


@pytest.mark.parametrize("words", [["no=program"], ["-i"], ["nothing-of-this-name"]])
def test_a_program_that_is_not_there_is_no_option_of_anything(world: World, words: list[str]) -> None:
    finished = RIGHTS[GuestRights.SANDBOXED](world.guest()).run(words, {}, str(world.guest_folder))
    assert finished.exit_code == 127


def test_a_generation_that_only_root_may_read_is_sandboxed_all_the_same(world: World) -> None:
    """As with the umask 077: root without any capability, where nobody can't read it."""
    world.guest_folder.chmod(0o700)
    found = quarantine(world.guest(), {})
    assert found.rights is GuestRights.SANDBOXED
    assert isinstance(found.processes, GuestProcesses)
    assert found.processes.other is None
    before = world.state()
    assert attack(world, found.processes)[0] <= {
        "read what is the builder's alone",
        "publish",
    }  # in its scratch
    assert world.state() == before


def test_without_bubblewrap_it_says_so_and_takes_the_next_best(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = quarantine(world.guest(), {})
    assert (found.rights, found.why) == (GuestRights.ANOTHERS, ("bubblewrap is not installed",))


def test_an_interpreter_that_nobody_may_run_is_no_way_out_of_the_sandbox(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Only where no way works it has the builder's rights, and each way says why it does not."""
    own = world.folder / "home/python"
    shutil.copy(os.path.realpath(sys.executable), own)
    guest = Guest("env_a", str(world.guest_folder), str(own))
    monkeypatch.setenv("PATH", str(tmp_path))
    found = quarantine(guest, {})
    assert found.rights is GuestRights.BUILDERS
    assert found.why[0] == "bubblewrap is not installed"
    assert found.why[1].startswith("as another user: ")
    assert "Permission denied" in found.why[1]


def test_a_sandbox_needs_no_root(world: World) -> None:
    """As a builder of CI has it: a user without rights, in whose own folders everything lies."""
    for path in (world.folder, *world.folder.rglob("*")):
        shutil.chown(path, "daemon", "daemon")
    before = world.state()
    house = Path(__file__).parents[2]
    code = (
        "import json, sys\n"
        "from envman.build.quarantine import Guest, quarantine\n"
        "guest = Guest(**json.loads(sys.argv[1]))\n"
        "found = quarantine(guest, {})\n"
        "done = found.processes.run(json.loads(sys.argv[2]), {'PATH': '/usr/bin:/bin'}, guest.folder)\n"
        "print(json.dumps([found.rights.value, found.why, json.loads(done.stdout)['done']]))\n"
    )
    guest = {
        "environment": "env_a",
        "folder": str(world.guest_folder),
        "interpreter": PYTHON,
        "hidden": [str(world.folder / "root"), str(world.folder / "cache")],
    }
    attack_words = [PYTHON, str(world.guest_folder / "hostile.py"), str(world.folder), "1", str(os.getpid())]
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        shutil.copytree(house / "envman", f"{name}/envman", ignore=shutil.ignore_patterns("__pycache__"))
        finished = subprocess.run(
            [PYTHON, "-c", code, json.dumps(guest), json.dumps(attack_words)],
            env={"PYTHONPATH": name, "HOME": str(world.folder / "home"), "PATH": os.defpath},
            user="daemon",
            group="daemon",
            extra_groups=[],
            cwd=name,
            capture_output=True,
            text=True,
            check=False,
        )
    assert finished.returncode == 0, finished.stderr
    # what it has published stands in its own scratch folder, where the way to the root folder is made
    assert json.loads(finished.stdout) == ["in a sandbox", [], ["publish"]]
    assert world.state() == before
