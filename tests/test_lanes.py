"""Each test stands in one lane, each lane but those on request in the run of CI, and none that can't run is green in silence."""

from __future__ import annotations

import itertools
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests import loopback, needs
from tests.lanes import DEBIAN, LANES, ON_REQUEST, PYTHONS, TESTS, lane_of, may_hold

REPOSITORY = TESTS.parent
FILES = sorted(path for path in TESTS.rglob("test_*.py") if "golden" not in path.parts)
ELSEWHERE = "192.0.2.1"
"""An address that no machine has (RFC 5737)."""


def test_each_test_file_stands_in_a_lane() -> None:
    lost = [str(path.relative_to(TESTS)) for path in FILES if not lane_of(path)]
    assert not lost, f"tests/lanes.py names no lane for {lost}"


def test_no_entry_stands_in_two_lanes_and_each_is_there() -> None:
    entries = [entry for lane in LANES.values() for entry in lane.entries]
    assert sorted(entries) == sorted(set(entries))
    assert [entry for entry in entries if not (TESTS / entry).exists()] == []


@pytest.mark.parametrize(
    ("path", "lane"),
    [
        ("spec/test_merge.py", "unit"),
        ("launch/test_command.py", "unit"),
        ("launch/test_launched.py", "real"),  # the longest entry decides
        ("e2e/test_chaos.py", "chaos"),
        ("images/engines/test_engines.py", "images"),
        ("test_layers.py", "unit"),
        ("nowhere/test_new.py", ""),
    ],
)
def test_the_longest_entry_decides(path: str, lane: str) -> None:
    assert lane_of(TESTS / path) == lane


def test_a_folder_is_looked_into_where_it_has_tests_of_the_lane() -> None:
    assert may_hold(TESTS, "chaos")
    assert may_hold(TESTS / "e2e", "chaos")
    assert may_hold(TESTS / "images/engines", "images")
    assert not may_hold(TESTS / "images/engines", "unit")
    assert not may_hold(TESTS / "e2e", "unit")


def test_a_need_is_something_that_can_be_looked_for() -> None:
    named = {need for lane in LANES.values() for need in lane.needs}
    assert {need for need in named if not need.startswith("Python ")} <= {*DEBIAN, *needs.FACTS}
    assert LANES["unit"].needs == ()


def test_what_is_left_out_without_root_stands_in_a_lane_that_needs_it() -> None:
    rooted = [
        path for path in TESTS.rglob("test_*.py") if _NEEDS_ROOT.search(path.read_text(encoding="utf-8"))
    ]
    assert len(rooted) > 4
    assert [str(path) for path in rooted if "root" not in LANES[lane_of(path)].needs] == []


_NEEDS_ROOT = re.compile(r"skipif\(os\.gete?uid\(\) != 0")


def test_the_default_run_has_every_lane() -> None:
    words = [sys.executable, "-m", "nox", "--list", "--json"]
    listed = json.loads(subprocess.run(words, cwd=REPOSITORY, capture_output=True, check=True).stdout)
    wanted = {*LANES, "lint", "package"} - ON_REQUEST
    assert wanted == {one["name"] for one in listed if one["name"] != "pythons"}


def test_the_contributing_page_tells_of_each_lane_and_the_pythons() -> None:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}
    assert {*LANES, "lint", "package"} <= set(rows)
    assert all(version in rows["unit"] for version in PYTHONS)
    for name, lane in LANES.items():
        for need in lane.needs:
            called = need.removeprefix("Python ") if need not in DEBIAN else DEBIAN[need]
            assert called in rows[name], f"{name} needs {called}"


def test_what_is_missing_has_the_name_that_a_person_installs_it_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(needs.FACTS, "root", lambda: False)
    (tmp_path / "buildah").touch(0o755)
    assert needs.provide(["root", "buildah", "bwrap", "linux.uml"])[:2] == ["root", "bubblewrap"]


def nox(tmp_path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the lane `machine` on a machine that has no Debian packages, and can't get any."""
    kept = {key: value for key, value in os.environ.items() if key not in {"CI", "NOXSESSION"}}
    words = [sys.executable, "-m", "nox", "--envdir", str(tmp_path / "nox"), "-s", "machine"]
    environ = {**kept, "PATH": str(tmp_path / "nothing"), **variables}
    return subprocess.run(
        words, cwd=REPOSITORY, env=environ, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_lane_that_can_not_run_is_named_in_the_last_line(tmp_path: Path) -> None:
    ran = nox(tmp_path)
    assert ran.returncode == 0, ran.stderr
    last = ran.stdout.splitlines()[-1]
    assert last.startswith("left out: machine (needs ")
    assert "user-mode-linux" in last


def test_in_ci_a_lane_that_can_not_run_fails_the_run(tmp_path: Path) -> None:
    ran = nox(tmp_path, CI="true")
    assert ran.returncode == 1, ran.stderr
    assert "in CI nothing is left out" in ran.stderr
    assert ran.stdout.splitlines()[-1].startswith("left out: machine (needs ")


GROUP = """\
import os
import pytest

pytestmark = pytest.mark.xdist_group("group")

@pytest.mark.parametrize("number", range(4))
def test_it(number):
    open(f"{os.environ['PYTEST_XDIST_WORKER']}.{number}", "w").close()
"""


def test_a_group_of_tests_runs_in_one_process(tmp_path: Path) -> None:
    """They share what takes long to make; a pytest that pytest-xdist does not know divides them in silence."""
    (tmp_path / "pytest.ini").touch()
    (tmp_path / "test_group.py").write_text(GROUP, encoding="utf-8")
    words = [sys.executable, "-m", "pytest", "-p", "xdist", "-n", "2", "--dist", "loadgroup"]
    environ = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    ran = subprocess.run(
        words, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert {path.stem for path in tmp_path.glob("gw*")} in ({"gw0"}, {"gw1"})


@pytest.mark.parametrize(("file", "wide"), [("executors", "celery|warm"), ("hostile", "a user|one user")])
def test_tests_with_one_deployment_stand_together(file: str, wide: str) -> None:
    """Else a deployment that takes minutes is made again for each change."""
    words = ["-m", "pytest", "--collect-only", "--quiet", "--lane=airflow", f"tests/e2e/test_{file}.py"]
    ran = subprocess.run(
        [sys.executable, *words], cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False
    )
    found = re.findall(rf"\[.*?({wide}).*\]$", ran.stdout, re.MULTILINE)
    assert len(found) > 10, ran.stdout + ran.stderr
    assert len([one for one, _ in itertools.groupby(found)]) == wide.count("|") + 1


def test_a_unit_test_that_needs_a_network_fails() -> None:
    with loopback.only() as refused, pytest.raises(OSError, match="another machine"):
        socket.create_connection((ELSEWHERE, 9))
    assert refused == [f"socket.getaddrinfo {ELSEWHERE}"]
    with loopback.only() as refused, socket.socket() as made, pytest.raises(OSError, match="another machine"):
        made.connect((ELSEWHERE, 9))
    assert refused == [f"socket.connect {ELSEWHERE}"]


def test_this_machine_is_no_network() -> None:
    with loopback.only() as refused:
        for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost"):
            sys.audit("socket.connect", None, (host, 9))
        sys.audit("socket.connect", None, "/run/a.sock")
    assert refused == []


def test_pythons_made_for_the_lane_unit_are_no_other_lanes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(needs, "MADE", tmp_path)
    monkeypatch.setenv("PATH", needs.search_path_of_unit())  # as the noxfile does
    assert str(tmp_path) in needs.search_path_of_unit()
    assert str(tmp_path) not in needs.search_path()
