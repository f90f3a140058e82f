"""Who may read a workload's files of credentials: its user's processes, and no other user's. Needs root."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from envman.inside.protocol import CONTENT_ENDS, CONTENT_OF_FILE, CONTENT_OF_VARIABLE, SCRIPTS
from tests.confine.test_step import PYTHON
from tests.waiting import until

MINE, ANOTHER = 23431, 23432
SECRET = "s3cret-of-the-tests"
KEEP = """
import sys
sys.path.insert(0, sys.argv[1])
import run
sys.argv[0] = run.FOLDER
found = run.load("credential_values").variables_of(sys.stdin.buffer.readline()[:-1])
run.load("workload").prctl(4, 0)  # as workloads are
print(found["KEY_FILE"], flush=True)
sys.stdin.read()
"""
ATTACK = """
import ctypes, json, os, sys
path, parent = sys.argv[1:]
keeper = path.split("/")[2]
def read(file):
    try:
        with open(file, "rb") as stream:
            return stream.read(100000).decode(errors="replace")
    except OSError as error:
        return error.strerror
def listed(folder):
    try:
        return str(os.listdir(folder))
    except OSError as error:
        return error.strerror
def taken(pid):
    handle = os.pidfd_open(int(pid))
    found = ctypes.CDLL(None, use_errno=True).syscall(438, handle, int(path.split("/")[4]), 0)
    return "done" if found >= 0 else os.strerror(ctypes.get_errno())
print(json.dumps({
    "file": read(path), "its descriptors": listed(f"/proc/{keeper}/fd"), "its variables": read(f"/proc/{keeper}/environ"),
    "its descriptor": taken(keeper),
    "the workload's variables": read(f"/proc/{parent}/environ"), "the workload's memory": read(f"/proc/{parent}/mem"),
    "the workload's descriptors": listed(f"/proc/{parent}/fd"),
}))
"""


@pytest.fixture
def scripts() -> Iterator[Path]:
    """Where every user may read them: the project may lie in somebody's home."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield shutil.copytree(SCRIPTS, Path(folder, "inside"))


def as_user(user: int, code: str, *words: str) -> list[str]:
    return [
        "setpriv",
        "--reuid",
        str(user),
        "--regid",
        str(user),
        "--clear-groups",
        PYTHON,
        "-I",
        "-c",
        code,
        *words,
    ]


def attacked(user: int, path: str, workload: int) -> dict[str, str]:
    told = subprocess.check_output(as_user(user, ATTACK, path, str(workload)), timeout=60)
    found: dict[str, str] = json.loads(told)
    return found


def test_another_user_reads_nothing_and_its_own_the_file(scripts: Path) -> None:
    parts = [CONTENT_OF_VARIABLE, b"TOKEN", b"%d" % len(SECRET), SECRET.encode()]
    parts += [CONTENT_OF_FILE, b"KEY_FILE", b"%d" % len(SECRET), SECRET.encode(), CONTENT_ENDS, b""]
    words = as_user(MINE, KEEP, str(scripts))
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as workload:
        assert workload.stdin
        assert workload.stdout
        workload.stdin.write(b"\0".join(parts) + b"\n")
        workload.stdin.flush()
        path = workload.stdout.readline().decode().strip()
        status = Path(path).stat()
        assert (status.st_uid, oct(status.st_mode & 0o7777)) == (MINE, "0o400")
        others = attacked(ANOTHER, path, workload.pid)
        own = attacked(MINE, path, workload.pid)
        workload.communicate()
    assert {**others, "its descriptor": ""} == dict.fromkeys(others, "Permission denied") | {
        "its descriptor": ""
    }
    assert others["its descriptor"] == "Operation not permitted"
    # what is open to the user's own processes, as its programs are among them: the files, and nothing else
    assert own.pop("file") == SECRET
    assert own.pop("its variables") == ""
    assert own.pop("its descriptors").count("'") == 2
    own.pop("its descriptor")  # as the machine's ptrace_scope has it
    assert own == dict.fromkeys(own, "Permission denied")
    until(lambda: not os.path.lexists(path), "it is still there")
