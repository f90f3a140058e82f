"""What a probe is told of a host's components."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from envman.errors import ExitCode
from envman.launch import beats, health
from envman.launch.beats import forget_the_dead, leave_beat, living
from envman.launch.components import main


@pytest.fixture(autouse=True)
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "run"
    monkeypatch.setenv("ENVMAN_RUN", str(folder))
    return folder


def asked(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main([*words, "--health"])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_component_that_has_beaten_is_at_work(capsys: pytest.CaptureFixture[str]) -> None:
    leave_beat("dag-processor", 5.0, {"bundle_a": time.monotonic() - 12})
    code, out, err = asked(capsys, "dag-processor")
    assert (code, err) == (ExitCode.OK, "")
    assert out.splitlines() == [
        f"dag-processor: process {os.getpid()}, last beat 0 s ago",
        "  bundle_a: last parse 12 s ago",
    ]
    assert asked(capsys, "triggerer")[0] == ExitCode.FAILED


def test_a_script_reads_json(capsys: pytest.CaptureFixture[str]) -> None:
    leave_beat("worker", 5.0, {})
    code, out, _ = asked(capsys, "worker", "--json")
    said = json.loads(out)
    assert code == ExitCode.OK
    assert (said["schema_version"], said["command"], said["ok"], said["problems"]) == (1, "launch", True, [])
    (row,) = said["result"]
    assert (row["component"], row["pid"], row["seconds_since_parse"]) == ("worker", os.getpid(), {})
    code, out, _ = asked(capsys, "scheduler", "--json")
    said = json.loads(out)
    assert (code, said["ok"], said["result"]) == (ExitCode.FAILED, False, [])
    assert said["problems"][0]["what"] == "none is at work here"


def test_one_without_a_beat_for_a_minute_is_stuck(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_beat("triggerer", 5.0, {})
    later = time.monotonic() + health.LONGEST_SILENCE + 1
    monkeypatch.setattr(health.time, "monotonic", lambda: later)
    code, _, err = asked(capsys, "triggerer")
    assert code == ExitCode.FAILED
    assert f"process {os.getpid()} is stuck: its last beat was 61 s ago" in err


def test_one_that_has_ended_is_forgotten(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave = "from envman.launch.beats import leave_beat; leave_beat('worker', 5.0, {})"
    subprocess.run([sys.executable, "-c", leave], check=True)
    (left,) = run_folder.glob("*.beat")
    assert asked(capsys, "worker")[0] == ExitCode.FAILED
    leave_beat("scheduler", 5.0, {})
    forget_the_dead()
    assert not left.exists()
    assert [beat.component for beat in living("scheduler")] == ["scheduler"]


def test_a_process_that_has_got_the_number_of_another_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    leave_beat("worker", 5.0, {})
    monkeypatch.setattr(beats, "began", lambda _: 1)
    assert asked(capsys, "worker")[0] == ExitCode.FAILED


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"version": 1, "component": "worker", "pid": 1e999, "began": 0, "moment": 0, "parses": {}}',
        b'{"version": 2, "component": "worker", "pid": 1, "began": 0, "moment": 0, "parses": {}}',
        b'{"version": 1, "component": "worker", "pid": 1, "began": 0, "moment": 0, "interval": 1, "parses": 7}',
        b'{"version": 1, "component": "worker", "pid": 999999999, "began": -1, "moment": 0, "interval": 1, "parses": {}}',
        b'{"version": 1}' + b" " * 2_000_000,
    ],
)
def test_what_is_no_beat_is_passed_over(
    run_folder: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    leave_beat("worker", 5.0, {})
    (run_folder / "worker-0.beat").write_bytes(content)
    assert asked(capsys, "worker")[0] == ExitCode.OK


def test_nothing_that_stands_there_keeps_a_probe_waiting(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leave_beat("worker", 5.0, {})
    os.mkfifo(run_folder / "a-1.beat")
    (run_folder / "b-1.beat").mkdir()
    (run_folder / "c-1.beat").symlink_to(tmp_path)
    (run_folder / "d-1.beat").symlink_to("/dev/zero")
    assert asked(capsys, "worker")[0] == ExitCode.OK
    forget_the_dead()


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-1", "1e300", '"soon"', "null"])
@pytest.mark.parametrize("key", ["moment", "interval", "parses"])
def test_a_moment_that_can_not_have_been_is_no_beat(
    run_folder: Path, capsys: pytest.CaptureFixture[str], key: str, value: str
) -> None:
    leave_beat("worker", 5.0, {})
    (file,) = run_folder.glob("*.beat")
    said = json.loads(file.read_text())
    said[key] = {"bundle_a": "X"} if key == "parses" else "X"
    file.write_text(json.dumps(said).replace('"X"', value))
    if (key, value) == ("interval", "1e300"):
        assert asked(capsys, "worker")[0] == ExitCode.OK
    else:
        assert asked(capsys, "worker")[0] == ExitCode.FAILED


def test_a_seldom_beat_may_be_missed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_beat("edge-worker", 30.0, {})
    now = time.monotonic()
    for later, code in ((119, ExitCode.OK), (121, ExitCode.FAILED)):
        monkeypatch.setattr(health.time, "monotonic", lambda later=later: now + later)
        assert asked(capsys, "edge-worker")[0] == code


def test_a_component_follows_nothing_that_a_workload_puts_there(run_folder: Path, tmp_path: Path) -> None:
    """One user for all: a FIFO would have it wait, a link would have it write elsewhere."""
    run_folder.mkdir(mode=0o700)
    new = run_folder / f"worker-{os.getpid()}.beat.new"
    os.mkfifo(new)
    leave_beat("worker", 5.0, {})
    elsewhere = tmp_path / "elsewhere"
    new.symlink_to(elsewhere)
    leave_beat("worker", 5.0, {})
    assert not elsewhere.exists()
    assert [beat.component for beat in living("worker")] == ["worker"]


def test_a_name_does_nothing_to_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    leave_beat("dag-processor", 5.0, {"a\x1b[31m\nb": 0.0})
    out = asked(capsys, "dag-processor")[1]
    assert "  a?[31m?b: last parse" in out


def test_a_probe_makes_no_folder(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(capsys, "worker")[0] == ExitCode.FAILED
    assert not run_folder.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["worker", "--health", "--cold"], "--health starts nothing"),
        (["worker", "--health", "--", "--concurrency", "8"], "--health starts nothing"),
        (["--health"], "which component?"),
        (["api-server", "--health"], "--health is about shared components"),
        (["worker", "--health", "--team", "t"], "--health is about shared components"),
        (["worker", "--json"], "--json goes with --health"),
    ],
)
def test_what_does_not_go_with_it(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == ExitCode.LAUNCH
    assert said in capsys.readouterr().err
