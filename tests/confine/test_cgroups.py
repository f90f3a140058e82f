"""Limits on the kernel's own cgroups; version 2, which this machine has no controllers of, on a folder tree.

The real tests need root and the controllers memory, cpu and pids of version 1: they fail without.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from envman.confine import cgroup_files, cgroups, step
from envman.confine.cgroups import ConfinementError, oom_kills, prepare

pytestmark = pytest.mark.xdist_group("cgroups")

MIB = 2**20
ALL = {"memory": 256 * MIB, "cpu": 1.5, "pids": 50}


@pytest.fixture
def name() -> Iterator[str]:
    """An environment that nobody has; its cgroups go when the test ends."""
    made = f"test-{uuid.uuid4().hex}"
    yield made
    for limit in cgroups.LIMITS:
        folder = Path(cgroup_files.find(limit, "/proc/self").below(f"envman-{made}"))
        if folder.is_dir():
            assert (folder / "cgroup.procs").read_text() == ""
            folder.rmdir()


def folder_of(name: str, limit: str) -> Path:
    return Path(cgroup_files.find(limit, "/proc/self").below(f"envman-{name}"))


def value(name: str, limit: str, file: str) -> str:
    return (folder_of(name, limit) / file).read_text().strip()


def start(name: str, limits: Mapping[str, float], code: str) -> subprocess.Popen[str]:
    held = prepare(name, limits)
    words = step.command(sys.executable, name, None, held.procs, held.rlimits)
    return subprocess.Popen([*words, sys.executable, "-c", code], text=True, stdout=subprocess.PIPE)


def run(name: str, limits: Mapping[str, float], code: str) -> tuple[int, str]:
    child = start(name, limits, code)
    stdout, _ = child.communicate(timeout=300)
    return child.returncode, stdout


EAT = "data = []\nwhile True: data.append(bytearray(b'x' * 2**20))"


def test_who_takes_too_much_memory_is_killed_and_the_neighbour_lives(name: str) -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as neighbour:
        exit_code, _ = run(name, {"memory": 48 * MIB}, EAT)
        assert exit_code == -9
        assert neighbour.poll() is None
        neighbour.kill()
    assert oom_kills(name) == 1
    assert run(name, {"memory": 48 * MIB}, EAT)[0] == -9
    assert oom_kills(name) == 2
    assert run(name, {"memory": 48 * MIB}, "print('small')") == (0, "small\n")
    assert oom_kills(name) == 2


def test_memory_is_counted_over_all_processes_together(name: str) -> None:
    take = "import sys; data = bytearray(b'x' * 2**20 * 60); print(1, flush=True); sys.stdin.read()"
    limits = {"memory": 100 * MIB}
    held = prepare(name, limits)
    words = [*step.command(sys.executable, name, None, held.procs, {}), sys.executable, "-c", take]
    children = [
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    for child in children:
        assert child.stdout
        child.stdout.readline()  # it has its memory, or has been killed
    for child in children:
        child.communicate(timeout=300)
    assert oom_kills(name) >= 1
    assert -9 in [child.returncode for child in children]


def test_an_unknown_environment_has_no_kills() -> None:
    assert oom_kills("nobody-has-this") == 0
    assert oom_kills("x", "/nowhere") == 0


BOMB = """
import os, sys, time
children = 0
try:
    for children in range(100):
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
except BlockingIOError:
    print(children, flush=True)
finally:
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    while children:
        os.wait()
        children -= 1
"""


def test_a_fork_bomb_stops_at_the_limit(name: str) -> None:
    exit_code, said = run(name, {"pids": 12}, "import os; os.setpgid(0, 0)\n" + BOMB)
    assert (exit_code, said) == (0, "11\n")


def test_a_user_of_its_own_cannot_leave_its_cgroups_or_change_them(name: str) -> None:
    held = prepare(name, ALL)
    files = [file for folder in map(Path, held.procs) for file in (folder, folder.parents[1] / folder.name)]
    files.append(folder_of(name, "memory") / "memory.limit_in_bytes")
    tries = "".join(f"(echo 0 > {file}) 2>/dev/null && echo left;" for file in files)
    words = step.command(sys.executable, name, ("nobody", ""), held.procs, {})
    finished = subprocess.run(
        [*words, "/bin/sh", "-c", f"{tries} cat /proc/self/cgroup"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "left" not in finished.stdout
    inside = [line for line in finished.stdout.splitlines() if line.endswith(f"/envman-{name}")]
    assert {line.split(":")[1] for line in inside} == set(cgroups.LIMITS)


def test_processors_are_shared_out(name: str) -> None:
    code = "import time\nend = time.monotonic() + 2\nwhile time.monotonic() < end: pass\nprint(time.process_time())"
    exit_code, said = run(name, {"cpu": 0.2}, code)
    assert exit_code == 0
    assert float(said) < 1.0
    assert value(name, "cpu", "cpu.cfs_quota_us") == "20000"
    assert value(name, "cpu", "cpu.cfs_period_us") == "100000"


def test_more_processors_than_the_cgroup_above_has_are_held_by_that_one(tmp_path: Path, name: str) -> None:
    prepare(name, {"cpu": 0.5})
    inside = cgroup_files.Place(cgroup_files.V1, str(folder_of(name, "cpu")))
    below = Path(cgroup_files.make(inside, "cpu", "below"))
    try:
        cgroup_files.set_limit(inside, "below", "cpu", 0.4)
        assert (below / "cpu.cfs_quota_us").read_text() == "40000\n"
        cgroup_files.set_limit(inside, "below", "cpu", 3.0)
        assert (below / "cpu.cfs_quota_us").read_text() == "-1\n"
    finally:
        below.rmdir()


def test_each_limit_is_held_by_its_own_mechanism_and_can_be_changed_and_lifted(name: str) -> None:
    held = prepare(name, ALL)
    assert held.mechanisms == dict.fromkeys(ALL, "cgroup v1")
    assert (held.rlimits, held.reasons) == ({}, {})
    assert [Path(file).parent for file in held.procs] == [folder_of(name, limit) for limit in cgroups.LIMITS]
    assert prepare(name, ALL) == held
    for memory in (512 * MIB, 64 * MIB):  # up, and down
        prepare(name, {**ALL, "memory": memory})
        assert value(name, "memory", "memory.limit_in_bytes") == str(memory)
        assert value(name, "memory", "memory.memsw.limit_in_bytes") == str(memory)
    assert value(name, "pids", "pids.max") == "50"
    assert prepare(name, {}) == cgroups.Confinement()
    unlimited = int(value(name, "memory", "memory.limit_in_bytes"))
    assert unlimited > 2**60
    assert int(value(name, "memory", "memory.memsw.limit_in_bytes")) == unlimited
    assert value(name, "pids", "pids.max") == "max"
    assert value(name, "cpu", "cpu.cfs_quota_us") == "-1"


def test_without_limits_nothing_is_made(name: str) -> None:
    prepare(name, {})
    assert not any(folder_of(name, limit).exists() for limit in cgroups.LIMITS)


def test_explaining_makes_nothing(name: str) -> None:
    """In cgroups of its own: what it made would be below them."""
    code = f"from envman.confine import cgroups; print(cgroups.explain({ALL}).mechanisms)"
    assert run(name, ALL, code) == (0, f"{dict.fromkeys(ALL, 'cgroup v1')}\n")
    for limit in cgroups.LIMITS:
        assert not [entry for entry in folder_of(name, limit).iterdir() if entry.is_dir()]


def test_several_components_prepare_at_once(name: str) -> None:
    wanted = [{**ALL, "memory": memory * MIB} for memory in (64, 128, 256, 512)]
    failed: list[Exception] = []

    def work(limits: Mapping[str, float]) -> None:
        try:
            for _ in range(50):
                prepare(name, limits)
        except Exception as error:  # noqa: BLE001  # the test tells it
            failed.append(error)

    threads = [threading.Thread(target=work, args=(limits,)) for limits in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    memory = value(name, "memory", "memory.limit_in_bytes")
    assert memory == value(name, "memory", "memory.memsw.limit_in_bytes")
    assert int(memory) in [limits["memory"] for limits in wanted]


def test_less_memory_than_is_in_use_is_an_error_that_says_so(name: str) -> None:
    code = "import sys; data = bytearray(b'x' * 2**20 * 100); print(1, flush=True); sys.stdin.read()"
    held = prepare(name, {"memory": 256 * MIB})
    words = [*step.command(sys.executable, name, None, held.procs, {}), sys.executable, "-c", code]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        child.stdout.readline()
        with pytest.raises(ConfinementError, match="use more than that"):
            prepare(name, {"memory": 32 * MIB})
        child.communicate()
    prepare(name, {"memory": 32 * MIB})


@pytest.mark.parametrize(
    ("environment", "limits", "said"),
    [
        ("a/b", {"pids": 1}, "name of a cgroup"),
        ("a", {"disk": 1}, "'disk' is not known"),
        ("a", {"cpu": 0.001}, "can't be 0.001"),
        ("a", {"memory": 0}, "can't be 0"),
        ("a", {"pids": float("nan")}, "can't be nan"),
    ],
)
def test_what_is_no_limit_is_refused(environment: str, limits: dict[str, float], said: str) -> None:
    with pytest.raises(ConfinementError, match=said) as error:
        prepare(environment, limits)
    assert error.value.exit_code == 125
    assert all(problem.remedy for problem in error.value.problems)


class Host:
    """A /proc and mount points of a host that this machine is not; the kernel's files do not appear by
    themselves.
    """

    def __init__(self, folder: Path) -> None:
        self.proc = folder / "proc"
        self.mounts = folder / "sys fs"
        self.proc.mkdir()
        self.mounts.mkdir()

    def says(self, cgroup: str, *mounts: str) -> str:
        (self.proc / "cgroup").write_text(cgroup)
        point = str(self.mounts).replace(" ", "\\040")
        lines = [f"4{number} 1 0:2{number} {mount}\n" for number, mount in enumerate(mounts)]
        (self.proc / "mountinfo").write_text("".join(lines).replace("POINT", point))
        return str(self.proc)

    def v2(self, path: str, controllers: str = "cpu memory pids", enabled: str = "") -> Path:
        """A cgroup of version 2 with the cgroup of an environment 'a' in it."""
        made = self.mounts / path
        files = {
            made: ["cgroup.procs"],
            made / "envman-a": ["cgroup.procs", "memory.max", "memory.swap.max", "cpu.max", "pids.max"],
        }
        for folder, names in files.items():
            folder.mkdir(parents=True, exist_ok=True)
            for file in names:
                (folder / file).touch()
        (made / "cgroup.controllers").write_text(controllers)
        (made / "cgroup.subtree_control").write_text(enabled)
        return made


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


UNIFIED = "/ POINT rw - cgroup2 cgroup2 rw,nsdelegate"


def text(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir() if file.is_file()}


def test_version_2_holds_all_limits(host: Host) -> None:
    base = host.v2("app", enabled="cpu memory pids")
    proc = host.says("0::/app\n", UNIFIED)
    held = prepare("a", ALL, proc=proc)
    assert held.mechanisms == dict.fromkeys(ALL, "cgroup v2")
    assert held.procs == (f"{base}/envman-a/cgroup.procs",)
    assert text(base / "envman-a") == {
        "cgroup.procs": "",
        "memory.max": str(256 * MIB),
        "memory.swap.max": "0",
        "cpu.max": "150000 100000",
        "pids.max": "50",
    }
    prepare("a", {"pids": 7}, proc=proc)
    assert text(base / "envman-a") == {
        "cgroup.procs": "",
        "memory.max": "max",
        "memory.swap.max": "max",
        "cpu.max": "max 100000",
        "pids.max": "7",
    }
    (base / "envman-a/memory.events").write_text("low 0\nhigh 0\noom 4\noom_kill 3\n")
    assert oom_kills("a", proc) == 3


def limit(folder: Path, file: str, value: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(value)
    (folder / "cgroup.procs").touch()


def test_memory_limits_are_found_up_to_the_mount(host: Host) -> None:
    limit(host.mounts / "app", "memory.max", "4096\n")
    limit(host.mounts / "app/unit", "memory.max", "max\n")
    limit(host.mounts / "app/unit/leaf", "memory.max", "8192\n")
    limit(host.mounts / "other", "memory.max", "1\n")
    assert [*cgroup_files.memory_limits(host.says("0::/app/unit/leaf\n", UNIFIED))] == [8192, 4096]
    (host.mounts / "app/unit/leaf/memory.max").unlink()  # whose controller is not handed on
    assert [*cgroup_files.memory_limits(host.says("0::/app/unit/leaf\n", UNIFIED))] == [4096]
    limit(host.mounts, "memory.max", "2048\n")  # as in a container, whose cgroup is the mount's root
    assert [*cgroup_files.memory_limits(host.says("0::/\n", UNIFIED))] == [2048]
    assert [*cgroup_files.memory_limits(host.says("0::/\n"))] == []


def test_memory_limits_of_version_1_are_found_too(host: Host) -> None:
    limit(host.mounts / "app", "memory.limit_in_bytes", "4096\n")
    limit(host.mounts, "memory.limit_in_bytes", f"{2**63 - 4096}\n")
    mount = "/ POINT rw - cgroup cgroup rw,memory"
    proc = host.says("5:memory:/app\n4:cpu:/other\n", mount)
    assert [*cgroup_files.memory_limits(proc)] == [4096, 2**63 - 4096]


def test_a_lock_that_somebody_keeps_refuses_the_workload_and_names_them(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A workload with the components' user may enter their run folder. Without the limit it would be waited for."""
    host.v2("app", enabled="pids")
    proc = host.says("0::/app\n", UNIFIED)
    monkeypatch.setenv("ENVMAN_RUN", str(tmp_path / "run"))
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setattr(cgroup_files, "LOCK_LIMIT", 0.0)
    with (tmp_path / "run/envman-a.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        with pytest.raises(ConfinementError) as caught:
            prepare("a", {"pids": 5}, proc=proc)
    (problem,) = caught.value.problems
    assert problem.where == "environment 'a'"
    assert f"envman-a.lock: locked for 0 s by process {os.getpid()} (" in problem.what
    assert prepare("a", {"pids": 5}, proc=proc).mechanisms == {"pids": "cgroup v2"}


def test_a_component_in_its_leaf_still_stands_where_it_stood(host: Host) -> None:
    base = host.v2("app", enabled="pids")
    held = prepare("a", {"pids": 5}, proc=host.says("0::/app/envman.components\n", UNIFIED))
    assert held.procs == (f"{base}/envman-a/cgroup.procs",)


def test_a_container_with_the_hosts_paths_finds_its_own_mount(host: Host) -> None:
    host.v2("", enabled="pids")
    proc = host.says("0::/docker/1\n", "/docker/1 POINT rw shared:3 master:1 - cgroup2 cgroup2 rw")
    assert prepare("a", {"pids": 5}, proc=proc).mechanisms == {"pids": "cgroup v2"}
    proc = host.says("0::/../other\n", "/ POINT rw - cgroup2 cgroup2 rw")
    assert prepare("a", {"pids": 5}, proc=proc).mechanisms == {"pids": "none"}


def test_a_unit_of_systemds_must_have_been_delegated(host: Host) -> None:
    base = host.v2("system.slice/airflow.service", enabled="memory")
    proc = host.says("0::/system.slice/airflow.service\n", UNIFIED)
    held = prepare("a", {"memory": MIB}, proc=proc)
    assert held.mechanisms == {"memory": "rlimit"}
    assert held.rlimits == {"AS": MIB}
    assert "Delegate=yes" in held.reasons["memory"]
    os.setxattr(base, "user.delegate", b"1")
    assert prepare("a", {"memory": MIB}, proc=proc).mechanisms == {"memory": "cgroup v2"}


def test_what_no_cgroup_holds_is_left_to_rlimits(host: Host) -> None:
    host.v2("app", controllers="hugetlb", enabled="hugetlb")
    proc = host.says("3:cpuset:/\n0::/app\n", UNIFIED)
    held = prepare("a", ALL, proc=proc)
    assert held.mechanisms == {"memory": "rlimit", "cpu": "none", "pids": "none"}
    assert held.rlimits == {"AS": 256 * MIB}
    assert set(held.reasons) == set(ALL)
    assert held.procs == ()
    held = prepare("a", ALL, own_user=True, proc=proc)
    assert held.mechanisms == {"memory": "rlimit", "cpu": "none", "pids": "rlimit"}
    assert held.rlimits == {"AS": 256 * MIB, "NPROC": 50}
    assert cgroups.explain(ALL, own_user=True, proc=proc) == held


def test_a_host_may_have_some_limits_in_version_1_and_some_nowhere(host: Host) -> None:
    folder = host.mounts / "envman-a"
    folder.mkdir()
    (folder / "memory.limit_in_bytes").touch()
    proc = host.says("2:memory:/\n1:pids:/x\n", "/ POINT rw - cgroup cgroup rw,memory")
    held = prepare("a", ALL, proc=proc)
    assert held.mechanisms == {"memory": "cgroup v1", "cpu": "none", "pids": "none"}
    assert held.procs == (f"{folder}/cgroup.procs",)
    assert (folder / "memory.limit_in_bytes").read_text() == str(256 * MIB)
    assert "not mounted" in held.reasons["pids"]


def test_a_cgroup_without_the_file_of_a_limit_does_not_hold_it(host: Host) -> None:
    base = host.v2("app", enabled="memory cpu pids")
    (base / "envman-a/cpu.max").unlink()
    held = prepare("a", ALL, proc=host.says("0::/app\n", UNIFIED))
    assert held.mechanisms == {"memory": "cgroup v2", "cpu": "none", "pids": "cgroup v2"}
    assert "has no cpu.max" in held.reasons["cpu"]


def test_a_host_that_tells_nothing_holds_nothing(tmp_path: Path) -> None:
    assert prepare("a", {"cpu": 1}, proc=str(tmp_path)).mechanisms == {"cpu": "none"}


@pytest.fixture
def unified() -> Iterator[Path]:
    """A real cgroup of version 2 that may give on the one controller that version 2 has here.

    Whether the machine's topmost cgroup gives it on is for all: one test of the machine does that at a time.
    """
    root = cgroup_files._visible("", "/", "/proc/self")
    assert root, "no cgroup v2 is mounted here"
    controller = "hugetlb"
    assert controller in (Path(root) / "cgroup.controllers").read_text()
    made = Path(root) / f"envman-test-{uuid.uuid4().hex}"
    with alone(root):
        had = controller in (Path(root) / "cgroup.subtree_control").read_text()
        (Path(root) / "cgroup.subtree_control").write_text(f"+{controller}")
        made.mkdir()
        yield made
        for folder in (made / cgroup_files.COMPONENTS, made):
            if folder.is_dir():
                folder.rmdir()
        if not had:
            (Path(root) / "cgroup.subtree_control").write_text(f"-{controller}")


@contextmanager
def alone(folder: str) -> Iterator[None]:
    """While no other test process of the machine is alone with the folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def test_processes_go_to_a_leaf_before_their_cgroup_gives_a_controller_on(unified: Path) -> None:
    """The kernel's own rule, on the controller that is there."""
    children = [subprocess.Popen(["/bin/sleep", "60"]) for _ in range(5)]
    try:
        for child in children:
            (unified / "cgroup.procs").write_text(str(child.pid))
        with pytest.raises(OSError, match="busy"):
            (unified / "cgroup.subtree_control").write_text("+hugetlb")
        threads = [
            threading.Thread(target=cgroup_files.enable, args=(str(unified), "hugetlb")) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (unified / "cgroup.subtree_control").read_text().split() == ["hugetlb"]
        moved = {int(pid) for pid in (unified / cgroup_files.COMPONENTS / "cgroup.procs").read_text().split()}
        assert moved == {child.pid for child in children}
        assert (unified / "cgroup.procs").read_text() == ""
    finally:
        for child in children:
            child.kill()
            child.wait()


def test_a_controller_that_is_not_there_is_an_error(unified: Path) -> None:
    with pytest.raises(OSError, match=r"cgroup\.subtree_control"):
        cgroup_files.enable(str(unified), "memory")
    place = cgroup_files.Place(cgroup_files.V2, str(unified))
    with pytest.raises(cgroup_files.UnusableError):
        cgroup_files.make(place, "memory", "envman-a")
