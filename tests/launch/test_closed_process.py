"""A process that is closed to others of its user from its first instruction on, by this machine's kernel.

Who can read every file has no unreadable program: so the tests' processes first give their capabilities up.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import envman
from envman.launch import closed_process
from tests.rights import give_up_rights

HOUSE = Path(envman.__file__).parents[1]
BEGIN = f"""
import os, sys
sys.path.insert(0, {str(HOUSE)!r})
from envman.launch.closed_process import close_process, closed_program, execute_closed
"""
TELL = f"""
import ctypes, json, os, sys
sys.path.insert(0, {str(HOUSE)!r})
from envman.launch.closed_process import close_process, may_read_anything
def is_open(number):
    return os.path.lexists(f"/proc/self/fd/{{number}}")
before = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
print(json.dumps({{
    "dumpable": before,
    "was_closed": close_process("called"),
    "then": ctypes.CDLL(None).prctl(3, 0, 0, 0, 0),
    "may_read_anything": may_read_anything(),
    "called": open("/proc/self/comm").read().strip(),
    "pid": os.getpid(),
    "prefix": sys.prefix,
    "python": sys.executable,
    "words": sys.argv[1:],
    "variables": dict(os.environ),
    "descriptors": [os.readlink(f"/proc/self/fd/{{number}}") for number in range(20) if is_open(number)],
}}))
"""


def run(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BEGIN + code, *words],
        preexec_fn=give_up_rights,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def told(code: str, *words: str) -> dict[str, Any]:
    finished = run(code, *words)
    assert finished.returncode == 0, finished.stderr
    answer: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return answer


EXECUTE = """
close_process()
execute_closed(sys.argv[1], ["python", *sys.argv[2:]], {"SECRET": "s"})
print("it could not be closed")
"""


def test_a_program_is_closed_from_its_start_on_and_otherwise_as_ever() -> None:
    answer = told(EXECUTE, sys.executable, "-c", TELL, "a", "")
    assert (answer["dumpable"], answer["was_closed"], answer["then"]) == (0, True, 0)
    assert (answer["prefix"], answer["python"]) == (sys.prefix, sys.executable)
    assert (answer["words"], answer["variables"]["SECRET"]) == (["a", ""], "s")
    assert answer["called"] == "called"
    assert len(answer["descriptors"]) >= 3
    assert not any("memfd" in target for target in answer["descriptors"])  # the copy is closed
    assert not answer["may_read_anything"]


CHILD = """
import subprocess
close_process()
loader = closed_program(sys.argv[1])
words = ["envman", *sys.argv[1:]]
subprocess.run(words, executable=f"/proc/self/fd/{loader}", pass_fds=(loader,), env={"SECRET": "s"}, check=True)
"""


def test_a_child_is_closed_from_its_start_on() -> None:
    answer = told(CHILD, sys.executable, "-c", TELL, "a")
    assert (answer["dumpable"], answer["was_closed"]) == (0, True)
    assert (answer["prefix"], answer["words"], answer["variables"]["SECRET"]) == (sys.prefix, ["a"], "s")


def test_the_usual_way_it_is_open_until_it_has_asked() -> None:
    """What all this is for; and what a component tells the two ways apart by."""
    answer = told(
        'close_process()\nos.execve(sys.argv[1], sys.argv[1:], {"SECRET": "s"})', sys.executable, "-c", TELL
    )
    assert (answer["dumpable"], answer["was_closed"], answer["then"]) == (1, False, 0)


def test_a_name_without_a_folder_is_looked_for_where_execve_would(tmp_path: Path) -> None:
    (tmp_path / "python").symlink_to(sys.executable)
    answer = told("os.chdir(sys.argv.pop(1))\n" + EXECUTE, str(tmp_path), "python", "-c", TELL)
    assert answer["dumpable"] == 0


@pytest.mark.parametrize(
    "content", [b"", b"#!/bin/sh\n", b"\x7fELF\x02\x01", b"\x7fELF\x01\x01" + bytes(100)]
)
def test_what_has_no_loader_is_left_to_the_caller(tmp_path: Path, content: bytes) -> None:
    program = tmp_path / "program"
    program.write_bytes(content)
    program.chmod(0o755)
    assert run(EXECUTE, str(program)).stdout == "it could not be closed\n"


def test_what_execve_would_refuse_is_not_run_by_a_loader_either(tmp_path: Path) -> None:
    copy = Path(shutil.copy(Path(sys.executable).resolve(), tmp_path / "python"))
    copy.chmod(0o644)
    for program in (copy, tmp_path / "gone"):
        assert run(EXECUTE, str(program), "-c", "print(1)").stdout == "it could not be closed\n"


@pytest.mark.parametrize("missing", ["memfd_create", "fchmod"])
def test_without_files_in_memory_the_caller_executes_the_program(missing: str) -> None:
    """A policy may forbid them."""
    forbid = f"def refuse(*_): raise PermissionError\nos.{missing} = refuse\n"
    assert run(forbid + EXECUTE, sys.executable, "-c", TELL).stdout == "it could not be closed\n"


def test_an_older_kernel_knows_nothing_of_executable_files_in_memory() -> None:
    older = """
real = os.memfd_create
def memfd_create(name, flags=1):
    if flags & 0x10:
        raise OSError(22, "Invalid argument")
    return real(name, flags)
os.memfd_create = memfd_create
"""
    assert told(older + EXECUTE, sys.executable, "-c", TELL)["dumpable"] == 0


def test_another_system_has_nothing_to_close(monkeypatch: pytest.MonkeyPatch) -> None:
    import ctypes

    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert closed_process.close_process()


ENVMAN_LAUNCH = """
import ctypes, os, runpy, sys
sys.path.insert(0, sys.argv.pop(1))
from envman.launch import components
def main(words):
    print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), words)
    return 0
components.main = main
sys.argv = ["envman", "launch", "worker"]
from envman.__main__ import main as envman
envman()
"""


def test_envman_launch_closes_itself_before_all_else() -> None:
    finished = subprocess.run(
        [sys.executable, "-c", ENVMAN_LAUNCH, str(HOUSE)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert finished.stdout == "0 ['worker']\n"
