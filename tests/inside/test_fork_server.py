"""The fork server's script, started as a component starts it; a stand-in for Airflow obeys the tests."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from envman.inside import descendants
from envman.inside.fork_server import ForkServer as ForkServerItself
from envman.inside.protocol import LOG_DESCRIPTOR as LOG
from envman.inside.protocol import RUN
from tests.interpreters import MINORS, interpreter
from tests.stand_in import (
    HELD,
    PYTHON,
    ForkServer,
    Watched,
    Workload,
    children_of,
    component,
    descriptors_of,
    received_line,
    resident,
    subreaper,
)
from tests.waiting import until

WORKLOADS = int(os.environ.get("ENVMAN_TEST_WORKLOADS", "1000"))
AT_ONCE = 200
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="a client of another user is needed")

RANDOM = """\
import os
drawn = []
def seed(): drawn.append(os.urandom(8).hex())
"""
TELL_DESCRIPTORS = """
import os
found = {}
for name in os.listdir("/proc/self/fd"):
    try:
        found[name] = os.readlink(f"/proc/self/fd/{name}")
    except FileNotFoundError:
        pass
tell(found)
"""
Starting = Callable[..., ForkServer]


@pytest.fixture(scope="module", params=MINORS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    """One that the tests leave as it is."""
    folder = tmp_path_factory.mktemp("server")
    modules = {
        "numpy.random": RANDOM,
        "random_user": "import random, numpy.random",
        "open_file": "kept = open(__file__)",
    }
    with subreaper():
        started = ForkServer(
            folder,
            python=interpreter(request.param),
            modules=modules,
            variables={"KEPT": "1", "PYTHONHASHSEED": "5"},
            preload=["random_user", "open_file"],
        )
        yield started
        until(lambda: started.status()["children"] == [], "a child is left")
        assert started.words() == ""
        os.kill(started.pid, signal.SIGTERM)
        assert started.exit_code() == -signal.SIGTERM
        started.end()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starting]:
    """Start one of the test's own."""
    made: list[ForkServer] = []

    def starting(**settings: Any) -> ForkServer:
        made.append(ForkServer(settings.pop("folder", tmp_path), **settings))
        return made[-1]

    with subreaper():
        yield starting
        for one in made:
            one.end()


def is_there(pid: int) -> bool:
    """Whether it runs, or is a zombie."""
    return Path(f"/proc/{pid}").exists()


def is_inheritable(descriptor: int) -> bool:
    """Whether this process has it and hands it on: it comes from whatever has started the tests."""
    try:
        return descriptor > 2 and os.get_inheritable(descriptor)
    except OSError:
        return False


def has_settled(server: ForkServer, descriptors: int) -> bool:
    """Whether no child, no zombie and no descriptor is left of what was asked for."""
    server.status()
    return children_of(server.pid) == [] and descriptors_of(server.pid) == descriptors


# what a child gets


def test_a_child_gets_each_descriptor_at_its_number(server: ForkServer) -> None:
    with server.workload("callback", call=b"the call") as child:
        code = """
        import os
        for number, word in ((1, b"out"), (2, b"err"), (101, b"log")):
            os.write(number, word)
        with os.fdopen(102, "rb") as call:
            tell([target, os.read(0, 100).decode(), call.read().decode()])
        """
        child.send(textwrap.dedent(code))
        assert [one.recv(10) for one in (child.stdout, child.stderr, child.log)] == [b"out", b"err", b"log"]
        child.requests.sendall(b"request")
        assert child.told() == ["callback", "request", "the call"]
        assert child.status() == 0


def test_a_child_has_no_other_descriptor_of_the_servers(server: ForkServer) -> None:
    inherited = {one.name for one in Path("/proc/self/fd").iterdir() if is_inheritable(int(one.name))}
    with server.workload() as ended, server.workload("task"):
        ended.run("tell(1)")
        assert ended.status() == 0
        with server.workload(call=b"") as first, server.workload() as second:
            for child, more in ((first, {"102"}), (second, set())):
                found = child.run(TELL_DESCRIPTORS)
                assert found.pop(str(HELD)) == str(server.held)
                kept = [found.pop(name) for name in list(found) if found[name].endswith("open_file.py")]
                assert len(kept) == 1
                assert {*found} - inherited == {"0", "1", "2", str(LOG)} | more, found
                assert all(found[name].startswith("socket:") for name in ("0", "1", "2", str(LOG)))


def test_folder_umask_and_variables_are_the_requests(server: ForkServer, tmp_path: Path) -> None:
    code = """
    import os
    tell([os.getcwd(), os.umask(0), "PYTHONHASHSEED" in os.environ, os.environ.get("KEPT")])
    """
    with server.workload(folder=str(tmp_path), umask=0o027, added=["PYTHONHASHSEED", "NONE"]) as child:
        assert child.run(code) == [str(tmp_path), 0o027, False, "1"]
    with server.workload(folder="/gone") as child:  # the server's own, then
        assert child.run(code) == [str(Path.cwd()), 0o022, True, "1"]


def test_only_a_task_leads_a_group_of_its_own(server: ForkServer) -> None:
    for entry in ("parse", "callback", "task"):
        with server.workload(entry) as child:
            group = os.getpgid(child.pid)  # at the moment of the answer: Airflow signals the group
            assert group == (child.pid if entry == "task" else server.pid)
            assert child.run("import os; tell(os.getpgrp())") == group


def test_a_child_is_named_closed_and_bound_to_its_server(server: ForkServer) -> None:
    code = """
    import ctypes, gc, os, setproctitle, signal
    libc, number = ctypes.CDLL(None), ctypes.c_int()
    libc.prctl(2, ctypes.byref(number), 0, 0, 0)
    with open("/proc/self/oom_score_adj") as stream:
        score = int(stream.read())
    tell({
        "titles": setproctitle.titles,
        "dumpable": libc.prctl(3, 0, 0, 0, 0),
        "at_parents_death": number.value,
        "parent": os.getppid(),
        "collects": gc.isenabled(),
        "frozen": gc.get_freeze_count() > 1000,
        "sigchld_is_default": signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL,
        "wakeup": signal.set_wakeup_fd(-1),
        "alarm": signal.alarm(0),
        "score": score,
    })
    """
    own = int(Path(f"/proc/{server.pid}/oom_score_adj").read_text())
    with server.workload("task", name="bundle_b") as child:
        assert child.run(code) == {
            "titles": ["envman: task bundle_b"],
            "dumpable": 0,
            "at_parents_death": signal.SIGKILL,
            "parent": server.pid,
            "collects": True,
            "frozen": True,
            "sigchld_is_default": True,
            "wakeup": -1,
            "alarm": 0,
            "score": 500,
        }
    assert int(Path(f"/proc/{server.pid}/oom_score_adj").read_text()) == own


def test_nothing_of_envman_is_importable(server: ForkServer) -> None:
    code = """
    import importlib.util, sys
    names = ["envman", "tests", *heard()]
    loaded = [name for name in sys.modules if name.split(".")[0] == "envman"]
    tell([[name for name in names if importlib.util.find_spec(name)], loaded, sys.path])
    """
    with server.workload() as child:
        child.send(textwrap.dedent(code))
        child.send([file.stem for file in Path(RUN).parent.glob("[a-z]*.py")])
        found, loaded, path = child.told()
    assert found == loaded == []
    assert str(Path(RUN).parent) not in path
    assert str(server.folder / "modules") in path


def test_each_child_draws_numbers_of_its_own(server: ForkServer) -> None:
    code = "import random, sys; tell([random.random(), sys.modules['numpy.random'].drawn])"
    drawn = []
    for _ in range(3):
        with server.workload() as child:
            drawn.append(child.run(code))
    assert len({python for python, _ in drawn}) == 3
    assert [len(numpys) for _, numpys in drawn] == [1, 1, 1]
    assert len({numpys[0] for _, numpys in drawn}) == 3


def test_each_child_finds_the_shared_folders_of_its_own_bundle(server: ForkServer, tmp_path: Path) -> None:
    for bundle in "ab":
        (tmp_path / bundle / "dags").mkdir(parents=True)
        (tmp_path / bundle / "common").mkdir()
        (tmp_path / bundle / "common/who.py").write_text(f"WHO = {bundle!r}\n")
    for bundle, shared in (("a", ["../common"]), ("b", ["../common"]), ("a", [])):
        code = f"""
            import sys
            sys.path.append({f"{tmp_path}/{bundle}/dags"!r})
            try:
                from common.who import WHO
            except ImportError:
                WHO = "nobody's"
            tell([WHO, [one for one in sys.path if "common" in one]])
        """
        with server.workload(shared=shared) as child:
            assert child.run(code) == [bundle if shared else "nobody's", []]


def test_what_a_child_imports_and_changes_is_gone_with_it(server: ForkServer, tmp_path: Path) -> None:
    (tmp_path / "one_dag.py").write_text("value = 1\n")
    code = f"""
    import logging, os, sys
    before = ["one_dag" in sys.modules, len(logging.root.handlers), os.environ.get("SET"), {str(tmp_path)!r} in sys.path]
    sys.path.insert(0, {str(tmp_path)!r})
    import one_dag
    logging.root.addHandler(logging.NullHandler())
    os.environ["SET"] = "1"
    tell(before)
    """
    for _ in range(2):
        with server.workload() as child:
            assert child.run(code) == [False, 0, None, False]
            assert child.status() == 0


# how it ends


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("pass", 0),
        ("raise SystemExit(3)", 3),
        ("import os; os._exit(7)", 7),
        ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("import os; os.kill(os.getpid(), 40)", -40),
    ],
)
def test_the_status_is_told_as_it_is(server: ForkServer, code: str, status: int) -> None:
    with server.workload("task") as child:
        child.send(code)
        assert child.status() == status


def test_the_number_of_an_ended_child_stays_taken_until_its_component_has_gone(server: ForkServer) -> None:
    with server.workload() as child:
        child.send("pass")
        assert child.status() == 0
        server.status()
        assert is_there(child.pid)
    until(lambda: server.status() and not is_there(child.pid), "the zombie stays")


DAEMON = """
import os, signal
def daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if os.fork():
            tell(os.getpid())
        else:
            os.setsid()
        while True:
            signal.pause()
    os.wait()
daemon()
heard()
"""


@pytest.mark.parametrize("entry", ["parse", "task", "callback"])
def test_a_daemon_ends_with_its_workload_and_no_sooner(server: ForkServer, entry: str) -> None:
    with server.workload(entry) as other:
        kept = Watched(other.run(DAEMON))
        with server.workload(entry) as child:
            daemon = child.run(DAEMON)
            family = [Watched(pid) for pid in (daemon, *children_of(daemon))]
            assert len(family) == 2
            child.send("end")
            assert child.status() == 0
            assert all(one.has_ended() for one in family)
        until(lambda: server.status() and not any(is_there(one.pid) for one in family), "a zombie stays")
        assert not kept.has_ended(0)
        other.connection.close()
        assert kept.has_ended()
        for one in (*family, kept):
            one.close()
    until(lambda: server.status() and not is_there(kept.pid), "a zombie stays")


def test_what_a_preloaded_module_has_started_is_the_servers(start: Starting) -> None:
    modules = {"helped": "import subprocess\nkept = subprocess.Popen(['sleep', '1000'])\n"}
    server = start(modules=modules, preload=["helped"])
    assert server.status()["children"] == []
    (helper,) = children_of(server.pid)
    with server.workload() as child:
        child.send("pass")
        assert child.status() == 0
    until(lambda: server.status() and children_of(server.pid) == [helper], "not the helper alone is left")
    os.kill(helper, signal.SIGKILL)
    until(lambda: server.status() and not is_there(helper), "the zombie stays")


FAMILY = """
import os, subprocess, sys
code = '''
import os, subprocess, sys, time
os.setpgid(0, 0)
below = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], start_new_session=True)
print(below.pid, flush=True)
time.sleep(1000)
'''
child = subprocess.Popen([sys.executable, "-c", code], start_new_session=False, stdout=subprocess.PIPE)
tell([os.getpid(), child.pid, int(child.stdout.readline())])
heard()
"""


def test_a_component_that_closes_its_connection_ends_the_child_and_all_below_it(server: ForkServer) -> None:
    with server.workload("task") as child:
        family = [Watched(pid) for pid in child.run(FAMILY)]
        child.connection.close()
        assert all(one.has_ended() for one in family)
        for one in family:
            one.close()
    until(lambda: server.status() and not any(is_there(one.pid) for one in family), "a zombie stays")


def test_a_chain_of_processes_may_be_longer_than_pythons_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descendants, "children_of", lambda pid: [pid + 1] if pid < 5000 else [])
    assert descendants.descendants(1) == [*range(2, 5001)]


COMPONENT = """
import json, socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
request = {"entry": "task", "name": "b", "umask": 18, "folder": "/", "added": [], "component": [], "credentials": False, "shared": []}
pairs = [socket.socketpair() for _ in range(4)]
theirs = [pair[1].fileno() for pair in pairs]
socket.send_fds(connection, [json.dumps(request).encode() + b"\\n"], theirs)
print(connection.recv(4096).decode(), end="", flush=True)
code = "import time; time.sleep(1000)"
pairs[0][0].sendall(json.dumps(code).encode() + b"\\n")
pairs[0][1].close()
pairs[0][0].recv(1)
"""


def test_a_component_that_is_killed_takes_its_child_with_it(server: ForkServer) -> None:
    with component(["-c", COMPONENT, server.address]) as process:
        assert process.stdout is not None
        child = Watched(json.loads(process.stdout.readline())["pid"])
        process.kill()
    assert child.has_ended()
    child.close()


def test_a_server_that_is_killed_takes_its_children_with_it(start: Starting) -> None:
    server = start()
    children = [server.workload(entry) for entry in ("parse", "task", "callback")]
    watched = [Watched(child.pid) for child in children]
    os.kill(server.pid, signal.SIGKILL)
    assert all(one.has_ended() for one in watched)
    for one in watched:
        one.close()
    for child in children:
        assert received_line(child.connection) == b""
        child.close()
    assert server.exit_code() == -signal.SIGKILL


# many


def marked(server: ForkServer, number: int) -> Workload:
    """A child that says its number over each of its descriptors, and how many it has."""
    child = server.workload("task" if number % 2 else "parse", name=f"bundle_{number}")
    child.send(
        f"import os\nfor one in (1, 2, {LOG}):\n    os.write(one, b'{number}')\n"
        "tell([len(os.listdir('/proc/self/fd')), heard()])\n"
    )
    return child


def test_many_workloads_leave_nothing_behind(start: Starting) -> None:
    """Some of them at once, so that what the server is sent has numbers on both sides of the children's."""
    server = start()
    with server.workload() as child:
        assert child.run("tell(1)") == 1
        assert child.status() == 0
    until(lambda: has_settled(server, descriptors_of(server.pid)), "the first child is still there")
    before = (descriptors_of(server.pid), descriptors_of(os.getpid()), resident(server.pid))
    begun = time.perf_counter()
    for number in range(WORKLOADS - AT_ONCE):
        with server.workload("task" if number % 2 else "parse") as child:
            child.send(f"raise SystemExit({number % 100})")
            assert child.status() == number % 100
    each = (time.perf_counter() - begun) / max(1, WORKLOADS - AT_ONCE)
    children = [marked(server, number) for number in range(AT_ONCE)]
    assert len(server.status()["children"]) == AT_ONCE
    seen = set()
    for number, child in enumerate(children):
        word = str(number).encode()
        assert [one.recv(10) for one in (child.stdout, child.stderr, child.log)] == [word] * 3
        child.send(number)
        count, echo = child.told()
        assert echo == number
        seen.add(count)
        assert child.status() == 0
        child.close()
    assert len(seen) == 1, seen
    until(lambda: has_settled(server, before[0]), "a child or a descriptor is left")
    after = (descriptors_of(server.pid), descriptors_of(os.getpid()), resident(server.pid))
    print(f"{WORKLOADS} workloads: {each * 1e3:.2f} ms each; descriptors and KiB: {before} -> {after}")
    assert after[:2] == before[:2]
    assert after[2] < before[2] + 2048
    status = server.status()
    assert (status["workloads"], status["crashes"], status["children"]) == (WORKLOADS + 1, 0, [])
    assert server.words() == ""


# who may ask

ASK = """
import socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
connection.sendall(b'{"ask": "status"}\\n')
print(connection.recv(65536).decode(), end="")
"""


def test_the_status_says_what_goes_on(start: Starting) -> None:
    server = start(preload=["json"])
    begun = time.time()
    with server.workload("task", name="bundle_b") as child, server.workload() as crashed:
        crashed.send("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
        crashed.status()
        with server.workload() as asked_to_end:
            os.kill(asked_to_end.pid, signal.SIGTERM)
            asked_to_end.status()
        with server.workload() as left:
            left_alone = Watched(left.pid)
        assert left_alone.has_ended()
        left_alone.close()
        until(lambda: not is_there(left.pid), "the zombie stays")
        status = server.status()
        running = status.pop("children")
        assert [(one["pid"], one["kind"], one["name"]) for one in running] == [
            (child.pid, "task", "bundle_b")
        ]
        assert abs(running[0]["started"] - begun) < LIMIT_OF_CLOCKS
    assert abs(status.pop("started") - begun) < LIMIT_OF_CLOCKS
    assert status == {
        "version": 2,
        "environment": "env_a",
        "generation": "first",
        "root": str(server.folder),
        "pid": server.pid,
        "preload": ["json"],
        "budget": 0,
        "workloads": 4,
        "last_minute": 4,
        "crashes": 1,
        "idle": 0.0,
        "idle_limit": 600.0,
    }


LIMIT_OF_CLOCKS = 30


def test_another_process_of_the_owner_may_ask(server: ForkServer) -> None:
    with component(["-c", ASK, server.address]) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.read())["pid"] == server.pid


@needs_root
def test_another_user_is_refused(start: Starting) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        server = start(folder=Path(folder))
        server.status()
        Path(folder).chmod(0o711)
        Path(server.address).chmod(0o777)
        asked = subprocess.run(
            ["/bin/sh", "-c", 'exec "$0" "$@"', "perl", "-e", PERL_ASK, server.address],
            user=65534,
            group=65534,
            extra_groups=[],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert json.loads(asked.stdout) == {"refused": "the user 65534 is not the one of the components"}
        assert server.status()["workloads"] == 0
        server.end()


PERL_ASK = """
use Socket;
socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die $!;
connect($s, pack_sockaddr_un($ARGV[0])) or die $!;
print while <$s>;
"""


def test_a_workload_is_refused_and_what_it_has_left_behind_too(server: ForkServer) -> None:
    ask = f"""
    import socket
    def asked():
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect({server.address!r})
            return connection.recv(4096).decode()
    """
    detached = """
    import os
    workload = os.getpid()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while os.getppid() != workload:
                pass
            tell(asked())
        os._exit(0)
    os.wait()
    heard()
    """
    refusal = {"refused": "it is a workload itself"}
    with server.workload("task") as child:
        assert json.loads(child.run(textwrap.dedent(ask) + "tell(asked())")) == refusal
    with server.workload("task") as child:
        assert json.loads(child.run(textwrap.dedent(ask) + textwrap.dedent(detached))) == refusal


# requests that are none

WHOLE: dict[str, Any] = {
    "entry": "parse",
    "name": "b",
    "umask": 18,
    "folder": "/",
    "added": [],
    "component": [],
    "credentials": False,
    "shared": [],
}


def without(key: str) -> bytes:
    return json.dumps({name: value for name, value in WHOLE.items() if name != key}).encode() + b"\n"


MALFORMED = {
    "nothing": b"",
    "no end": b'{"entry": "parse"',
    "no JSON": b"nonsense\n",
    "no text": b"\xff\xfe\n",
    "a list": b"[1]\n",
    "a string": b'"status"\n',
    "a number": b"1\n",
    "too deep": b"[" * 60000 + b"\n",
    "empty": b"{}\n",
    "no entry": without("entry"),
    "no name": without("name"),
    "nothing of credentials": without("credentials"),
    "credentials without where they come": json.dumps({**WHOLE, "credentials": True}).encode() + b"\n",
    "credentials that are a number": json.dumps({**WHOLE, "credentials": 1}).encode() + b"\n",
    "no umask": without("umask"),
    "no folder": without("folder"),
    "no added": without("added"),
    "unknown entry": json.dumps({**WHOLE, "entry": "dance"}).encode() + b"\n",
    "umask in words": json.dumps({**WHOLE, "umask": "open"}).encode() + b"\n",
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_request_does_no_harm(start: Starting, what: str) -> None:
    server = start()
    server.status()
    before = descriptors_of(server.pid)
    pairs = [socket.socketpair() for _ in range(4)]
    with server.workload() as other, server.connect() as connection:
        data = MALFORMED[what]
        if data:
            socket.send_fds(connection, [data[:1]], [theirs.fileno() for _, theirs in pairs])
            connection.sendall(data[1:])
        for _, theirs in pairs:
            theirs.close()
        connection.shutdown(socket.SHUT_WR)
        assert not received_line(connection).startswith(b'{"pid"'), "it was forked"
        for ours, _ in pairs:
            ours.settimeout(30)
            ours.recv(65536)  # no copy of the other end is left, so that it does not wait
            ours.close()
        assert other.run("tell(1)") == 1
        assert other.status() == 0
    until(lambda: has_settled(server, before), "something is left")


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_request_without_its_descriptors_forks_nothing(start: Starting, count: int) -> None:
    server = start()
    pairs = [socket.socketpair() for _ in range(count)]
    with server.connect() as connection:
        theirs = [pair[1].fileno() for pair in pairs]
        socket.send_fds(connection, [json.dumps(WHOLE).encode() + b"\n"], theirs)
        assert received_line(connection) == b""
    for pair in pairs:
        for one in pair:
            one.close()
    assert server.status()["workloads"] == 0


def lowest_free(pid: int) -> int:
    """The lowest number that it has no descriptor at."""
    taken = {int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    return next(number for number in range(len(taken) + 1) if number not in taken)


def test_a_server_out_of_descriptors_goes_on(start: Starting) -> None:
    """Who asks then is sent away, or waits until a number is free; nobody gets half of its descriptors."""
    server = start()
    server.status()
    used = descriptors_of(server.pid)
    _, most = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    children = [server.workload() for _ in range(3)]
    until(lambda: descriptors_of(server.pid) == used + 3, "it keeps what it was sent")
    for more in range(1, 5):  # for its connection, then for some of its descriptors
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (lowest_free(server.pid) + more, most))
        with Workload(server, "parse", None) as refused:
            assert not refused.pid
        until(lambda: descriptors_of(server.pid) == used + 3, "it keeps what it was sent")
    assert server.status()["workloads"] == 3
    for number, child in enumerate(children):
        assert child.run(f"tell({number})") == number
        child.close()
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (most, most))
    until(lambda: has_settled(server, used), "something is left")
    with server.workload() as child:
        assert child.run("tell(1)") == 1


def test_a_connection_waits_where_the_server_can_open_none(start: Starting) -> None:
    server = start()
    server.status()
    lowest, most = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (1, most))
    with server.connect() as connection:
        connection.sendall(b'{"ask": "status"}\n')
        until(lambda: server.words() or server.watched.has_ended(0), "it says nothing")
        assert server.words().startswith("a connection could not be taken: [Errno 24]")
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (lowest, most))
        assert json.loads(received_line(connection))["pid"] == server.pid


# until when it is there


def test_an_idle_server_ends(start: Starting) -> None:
    server = start(idle=0.1)
    assert server.exit_code() == 0
    assert server.words() == "ended: idle\n"


@pytest.mark.parametrize(
    ("idle_for", "limit", "children", "own", "pause"),
    [
        (0.0, 600.0, {}, set(), 2.0),
        (20.0, 600.0, {}, set(), 2.0),
        (31.0, 600.0, {}, set(), 30.0),
        (31.0, 600.0, {1: None}, set(), 2.0),
        (31.0, 600.0, {}, {1}, 2.0),  # what a preloaded module has started
        (590.0, 600.0, {}, set(), 10.0),
        (599.0, 600.0, {}, set(), 2.0),
        (700.0, 600.0, {}, set(), 2.0),
        (0.0, 0.1, {}, set(), 0.1),
    ],
)
def test_a_server_that_has_long_been_idle_looks_around_less_often(
    idle_for: float, limit: float, children: Any, own: Any, pause: float
) -> None:
    server = object.__new__(ForkServerItself)
    server._children, server._own, server._idle_since = children, own, time.monotonic() - idle_for
    server._settings = {"root": "", "link": "", "preload": [], "owner": 0, "idle": limit, "budget": 0}
    assert server._pause() == pytest.approx(pause, abs=1.0 if pause == 10.0 else 0.001)


def test_a_server_with_a_child_is_not_idle(start: Starting) -> None:
    server = start(idle=0.1)
    with server.workload() as child:
        server.watched.has_ended(0.3)
        assert server.status()["children"]
        assert child.run("tell(1)") == 1
    assert server.exit_code() == 0


def test_a_server_ends_after_its_last_child_when_another_generation_is_published(start: Starting) -> None:
    server = start()
    with server.workload("task") as child:
        server.link.unlink()
        server.status()  # that can't be told: nothing changes
        server.link.symlink_to(".gen/second")
        server.status()
        with server.workload() as another:  # a component may have looked before the change
            assert another.run("tell(1)") == 1
        assert child.run("tell(1)") == 1
        assert child.status() == 0
        assert server.status()["pid"] == server.pid
    assert server.exit_code() == 0
    assert server.words() == "ended: another generation is published\n"


def test_the_same_generation_published_again_changes_nothing(start: Starting) -> None:
    server = start()
    for target in (".gen/first", str(server.folder / ".gen/first")):
        server.link.unlink()
        server.status()
        server.link.symlink_to(target)
        assert server.status()["pid"] == server.status()["pid"]


def test_the_script_is_started_by_this_interpreter() -> None:
    """Otherwise what the tests above say of envman would hold wherever it is not installed."""
    finished = subprocess.run([PYTHON, "-I", "-c", "import envman"], env={}, capture_output=True, check=False)
    assert finished.returncode == 1
    assert sys.version_info[:2] == tuple(
        int(word)
        for word in subprocess.check_output(
            [PYTHON, "-c", "import sys; print(*sys.version_info[:2])"], env={}, text=True
        ).split()
    )
