"""What is kept of what a child prints: a package's check may print without end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from envman.system import child_process
from envman.system.child_process import MOST_KEPT, Finished
from envman.system.processes import Processes

FLOODS = {
    "one line": "head -c 1000000000 /dev/zero",
    "one line of errors": "head -c 1000000000 /dev/zero >&2",
    "short lines": "yes | head -c 6000000",
    "long lines": "yes $(head -c 60000 /dev/zero | tr '\\0' x) | head -c 300000000",
}
PROGRAM = """
import json, resource, sys
from envman.system.processes import Processes
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
finished = Processes().run(["/bin/sh", "-c", sys.argv[1]], {"PATH": "/usr/bin:/bin"}, "/")
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([finished.exit_code, (after - before) * 1024, len(finished.stdout + finished.stderr)]))
"""


def shell(script: str) -> Finished:
    return Processes().run(["/bin/sh", "-c", script], {"PATH": "/usr/bin:/bin"}, "/")


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_fills_no_memory(flood: str) -> None:
    """Some characters take a few bytes while they are read and put together."""
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, FLOODS[flood]], capture_output=True, text=True, check=True
    )
    exit_code, grown, kept = json.loads(finished.stdout)
    assert exit_code == 0
    assert grown < 10 * MOST_KEPT
    assert 0 < kept <= MOST_KEPT + 100


def test_the_last_lines_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "MOST_KEPT", 1000)
    said = shell("seq 1000; echo first >&2").stdout.splitlines()
    assert said[0] == f"({1000 - len(said) + 1} lines are left out here)"
    assert said[1:] == [str(number) for number in range(1002 - len(said), 1001)]
    assert len(said) > 5


def test_half_a_credential_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a line is cut, its address would no longer look like one with a password."""
    monkeypatch.setattr(child_process, "MOST_KEPT", 1000)
    line = f"{'x' * 970} https://user:password-of-this@somewhere/and/so/on"
    said = shell(f"echo '{line}'; echo end").stdout.splitlines()
    assert said == ["(a line of more than 1000 characters is left out here)", "end"]


def test_a_long_line_of_json_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "long.json"
    file.write_text(json.dumps(list(range(1_000_000))), encoding="utf-8")
    assert json.loads(shell(f"cat {file}").stdout) == list(range(1_000_000))
