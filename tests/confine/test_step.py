"""The step between a component and an environment's process, for real: these tests need root."""

from __future__ import annotations

import ast
import grp
import json
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from envman.confine import step
from envman.confine.step import command, refusal, variables_file

NOBODY = pwd.getpwnam("nobody")
TELL = r"""
import json, os, resource, signal
def try_to(change, *arguments):
    try:
        change(*arguments)
        return True
    except OSError:
        return False
status = dict(line.split(":\t") for line in open("/proc/self/status").read().splitlines())
descriptors = [number for number in map(int, os.listdir("/proc/self/fd")) if os.path.exists(f"/proc/self/fd/{number}")]
print(json.dumps({
    "uids": os.getresuid(), "gids": os.getresgid(), "groups": os.getgroups(),
    "back": [try_to(os.setuid, 0), try_to(os.setgid, 0), try_to(os.setgroups, [0]), try_to(os.seteuid, 0)],
    "capabilities": [status[name] for name in ("CapPrm", "CapEff", "CapAmb")],
    "variables": dict(os.environ), "descriptors": descriptors,
    "as": resource.getrlimit(resource.RLIMIT_AS), "nproc": resource.getrlimit(resource.RLIMIT_NPROC),
    "ignored": int(status["SigIgn"], 16),
}))
"""
PYTHON = "/usr/bin/python3"
"""An interpreter that every user of the machine may run."""


def words(who: tuple[str, str] | None = None, variables: int = -1, **rlimits: int) -> list[str]:
    return command(sys.executable, "env_a", who, [], rlimits, variables)


def tell(prefix: list[str], **options: Any) -> dict[str, Any]:
    finished = subprocess.run(
        [*prefix, PYTHON, "-I", "-S", "-c", TELL],
        check=False,
        **{"capture_output": True, "text": True, "timeout": 60, "env": {"A": "1"}, **options},
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    answer: dict[str, Any] = json.loads(finished.stdout)
    return answer


def refused(prefix: list[str], tmp_path: Path, **options: Any) -> str:
    """What it says where it must not start anything; nothing was started."""
    mark = tmp_path / "started"
    tmp_path.chmod(0o777)
    finished = subprocess.run(
        [*prefix, "/bin/sh", "-c", f"touch {mark}"],
        check=False,
        **{"capture_output": True, "text": True, "timeout": 60, **options},
    )
    assert finished.returncode == 125, finished
    assert finished.stdout == ""
    assert not mark.exists()
    assert finished.stderr.startswith("envman: environment 'env_a': ")
    assert finished.stderr.count("\n") == 1
    assert "; " in finished.stderr  # a remedy
    return finished.stderr


def test_nothing_asked_for_changes_nothing() -> None:
    told = tell(words())
    assert told["uids"] == [0, 0, 0]
    assert told["variables"] == {"A": "1", "LC_CTYPE": "C.UTF-8"}  # what any Python adds to its own
    finished = subprocess.run(
        [*words(), "/usr/bin/env", "-0"], env={"A": "1\n2"}, capture_output=True, check=True
    )
    assert finished.stdout == b"A=1\n2\0"


def test_the_user_is_given_up_for_good_with_groups_and_capabilities() -> None:
    told = tell(words(("nobody", "")), extra_groups=[0, 4, 27])
    assert told["uids"] == [NOBODY.pw_uid] * 3
    assert told["gids"] == [NOBODY.pw_gid] * 3
    assert told["groups"] == [NOBODY.pw_gid]
    assert told["back"] == [False] * 4
    assert told["capabilities"] == ["0" * 16] * 3
    expected = {"HOME": NOBODY.pw_dir, "USER": "nobody", "LOGNAME": "nobody"}
    assert {key: told["variables"][key] for key in expected} == expected


def test_a_user_brings_the_groups_it_is_a_member_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """No user of every machine is a member of another group."""
    monkeypatch.setattr(os, "getgrouplist", lambda name, gid: [4, 27, gid, 4])
    found = step.identity("nobody", "daemon")
    assert found.gid == grp.getgrnam("daemon").gr_gid
    assert found.groups == sorted({4, 27, found.gid})


@pytest.mark.parametrize(
    ("who", "uid", "gid", "name", "home"),
    [
        (("nobody", "daemon"), NOBODY.pw_uid, grp.getgrnam("daemon").gr_gid, "nobody", NOBODY.pw_dir),
        ((str(NOBODY.pw_uid), ""), NOBODY.pw_uid, NOBODY.pw_gid, "nobody", NOBODY.pw_dir),
        (("43210", "43211"), 43210, 43211, "43210", "/"),
    ],
)
def test_users_and_groups_by_name_and_number(
    who: tuple[str, str], uid: int, gid: int, name: str, home: str
) -> None:
    told = tell(words(who))
    assert (told["uids"], told["gids"], told["back"]) == ([uid] * 3, [gid] * 3, [False] * 4)
    assert gid in told["groups"]
    assert 0 not in told["groups"]
    assert (told["variables"]["USER"], told["variables"]["HOME"]) == (name, home)


@pytest.mark.parametrize(
    ("who", "said"),
    [
        (("no-such-user", ""), "the user 'no-such-user' does not exist"),
        (("nobody", "no-such-group"), "the group 'no-such-group' does not exist"),
        (("root", ""), "superuser"),
        (("0", "0"), "superuser"),
        (("43210", ""), "no group"),
        (("4294967295", "1"), "no number of a user"),
        (("43210", "99999999999"), "no number of a group"),
    ],
)
def test_who_is_nobody_is_refused_before_and_at_the_start(
    who: tuple[str, str], said: str, tmp_path: Path
) -> None:
    assert said in refusal(*who)
    assert said in refused(words(who), tmp_path)


def as_user(*options: str) -> list[str]:
    ids = ["--reuid", str(NOBODY.pw_uid), "--regid", str(NOBODY.pw_gid), "--clear-groups"]
    return ["setpriv", *ids, *options]


def test_a_component_without_the_right_is_refused(tmp_path: Path) -> None:
    said = refused([*as_user(), *words(("daemon", ""))], tmp_path)
    assert f"runs as uid {NOBODY.pw_uid}" in said
    assert "CAP_SETUID" in said


@pytest.mark.parametrize("who", [("root", ""), ("daemon", "")])
def test_a_refusal_is_known_before_the_start(who: tuple[str, str]) -> None:
    house = Path(step.__file__).parents[2]
    code = (
        f"import sys; sys.path.insert(0, {str(house)!r})\n"
        f"from envman.confine.step import refusal\nprint(refusal(*{who!r}))"
    )
    asked = [*as_user(), sys.executable, "-I", "-S", "-c", code]
    assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    assert refusal("daemon") == ""
    assert refusal("nobody", "daemon") == ""


def test_a_component_that_already_is_the_user_needs_no_right() -> None:
    told = tell([*as_user(), *words(("nobody", ""))])
    assert (told["uids"], told["back"]) == ([NOBODY.pw_uid] * 3, [False] * 4)


def test_capabilities_of_a_service_that_is_not_root_do_not_outlive_the_user() -> None:
    both = "+setuid,+setgid"
    told = tell([*as_user("--inh-caps", both, "--ambient-caps", both), *words(("daemon", ""))])
    assert told["uids"] == [pwd.getpwnam("daemon").pw_uid] * 3
    assert told["capabilities"] == ["0" * 16] * 3
    assert told["back"] == [False] * 4


def test_capabilities_that_cannot_be_given_up_are_a_refusal(tmp_path: Path) -> None:
    """With these securebits the kernel leaves them to who ceases to be root."""
    kept = ["setpriv", "--securebits", "+no_setuid_fixup"]
    assert "could become another one again" in refused([*kept, *words(("nobody", ""))], tmp_path)


def test_variables_come_by_a_descriptor_and_do_not_touch_the_step_itself(tmp_path: Path) -> None:
    given = {
        "A": "b=c",
        "LD_PRELOAD": str(tmp_path / "evil.so"),
        "EMPTY": "",
        "BYTES": "\udcff\n",
        "USER": "x",
    }
    descriptor = variables_file(given)
    try:
        finished = subprocess.run(
            [*words(("nobody", ""), descriptor), "/usr/bin/env", "-0"],
            env={"SECRET": "of the component"},
            pass_fds=[descriptor],
            capture_output=True,
            check=True,
        )
    finally:
        os.close(descriptor)
    got = dict(item.split(b"=", 1) for item in finished.stdout.split(b"\0") if item)
    assert got == {
        b"A": b"b=c",
        b"LD_PRELOAD": os.fsencode(given["LD_PRELOAD"]),
        b"EMPTY": b"",
        b"BYTES": b"\xff\n",
        b"USER": b"nobody",
        b"LOGNAME": b"nobody",
        b"HOME": os.fsencode(NOBODY.pw_dir),
    }
    assert finished.stderr.count(b"evil.so") == 1  # the program's own loader, and not Python's


def test_inherited_descriptors_go_on_and_no_other_comes_to_them() -> None:
    variables = variables_file({"A": "1"})
    os.dup2(variables, 103)
    read, write = os.pipe()
    for number in (100, 101, 110):
        os.dup2(write, number)
    try:
        inherited = [100, 101, 103, 110]
        told = tell(words(("nobody", ""), 103), pass_fds=inherited, stdin=subprocess.DEVNULL)
    finally:
        for number in (variables, read, write, 100, 101, 103, 110):
            os.close(number)
    assert told["descriptors"] == [0, 1, 2, 100, 101, 110]


def test_rlimits_are_set_for_good() -> None:
    told = tell(words(("nobody", ""), AS=2**30, NPROC=500))
    assert told["as"] == [2**30, 2**30]
    assert told["nproc"] == [500, 500]


def test_a_process_above_its_rlimit_of_memory_gets_no_more() -> None:
    code = "data = bytearray(2**30)"
    finished = subprocess.run(
        [*words(AS=2**28), sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert "MemoryError" in finished.stderr


def test_a_user_with_too_many_processes_starts_no_other(tmp_path: Path) -> None:
    """The kernel refuses the program, where the user had more already."""
    sleeping = [subprocess.Popen([*words(("43210", "43210")), "/bin/sleep", "60"]) for _ in range(3)]
    try:
        for child in sleeping:
            while Path(f"/proc/{child.pid}").stat().st_uid != 43210:
                assert child.poll() is None
        said = refused(words(("43210", "43210"), NPROC=2), tmp_path)
        assert "Resource temporarily unavailable" in said
    finally:
        for child in sleeping:
            child.kill()
            child.wait()


def test_signals_are_as_a_program_expects_them() -> None:
    finished = subprocess.run(
        [*words(), "/bin/grep", "SigIgn", "/proc/self/status"], capture_output=True, text=True, check=True
    )
    ignored = int(finished.stdout.split()[1], 16)
    # what Python ignores; whoever runs the tests may have others ignored, as nohup does
    assert [one for one in (signal.SIGPIPE, signal.SIGXFSZ) if ignored >> (one - 1) & 1] == []


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        (lambda: command(sys.executable, "env_a", None, ["/nowhere/cgroup.procs"], {}), "can't be entered"),
        (lambda: words(None, 99), "variables can't be read"),
        (lambda: words(NOFILE=-5), "can't be set"),
        (lambda: words(NOSUCH=5), "defect"),
        (lambda: [*words()[:-1], "--what", "x", "--"], "knows no --what"),
        (lambda: [*words()[:-1], "--group", "daemon", "--"], "group alone"),
    ],
)
def test_whatever_fails_starts_nothing(prefix: Callable[[], list[str]], said: str, tmp_path: Path) -> None:
    assert said in refused(prefix(), tmp_path)


def test_a_program_that_is_not_there_or_may_not_be_run(tmp_path: Path) -> None:
    for program in ("/nowhere/python", str(tmp_path)):
        finished = subprocess.run(
            [*words(("nobody", "")), program], capture_output=True, text=True, check=False
        )
        assert finished.returncode == 125
        assert f"{program} can't be started" in finished.stderr


def test_the_step_stands_alone() -> None:
    """It runs with the component's rights: nothing that is installed may come to it."""
    tree = ast.parse(Path(step.__file__).read_text(encoding="utf-8"))
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert imported == {"os", "sys", "pwd", "grp", "resource", "_signal", "ctypes"}
    code = "import sys; print(*sys.path)"
    finished = subprocess.run(
        [*words(), sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert "site-packages" not in finished.stdout
