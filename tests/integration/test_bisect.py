"""`envman bisect` with real builds: fourteen packages were upgraded, and a command fails since."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Deployment, empty
from tests.kept import KeptFolder
from tests.waiting import until
from tests.wheels import make_wheel

NAMES = [f"part-{number:02}" for number in range(1, 13)] + ["frame", "grid"]

TRIAL = """\
import sys, pathlib
from importlib.metadata import version
new = {name for name in sys.argv[2].split(",") if name and version(name).startswith("2")}
wanted = set(filter(None, sys.argv[2].split(",")))
mixed = len({version(f"part-{number:02}") for number in range(1, 13)} | {version("grid")}) > 1
if sys.argv[1] == "sleep" and mixed:
    import time
    pathlib.Path("asleep").touch()
    time.sleep(600)
if sys.argv[1] == "skip":
    sys.exit(0 if not new else 1 if len(new) >= 4 else 125)
if new >= wanted:
    print("the planted one", file=sys.stderr)
    sys.exit(int(sys.argv[3]))
sys.exit(0)
"""


@pytest.fixture(scope="module")
def kept_upgrades(tmp_path_factory: pytest.TempPathFactory, clean_environment: dict[str, str]) -> KeptFolder:
    """A generation with fourteen packages of version 1, and the current one with all of version 2; frame and
    grid only fit together.
    """
    folder = tmp_path_factory.mktemp("bisect")
    for name in NAMES:
        for version in ("1.0", "2.0"):
            needs = [f"grid=={version}"] if name == "frame" else ["frame"] if name == "part-03" else []
            make_wheel(folder / "wheels", name, version, needs)
    made = empty(folder / "project", folder / "wheels", clean_environment)
    made.write("trial.py", TRIAL)
    for version in ("1.0", "2.0"):
        made.spec("env_a", [f"{name}=={version}" for name in NAMES])
        made.ok("lock")
        made.ok("build")
    return KeptFolder(made.folder)


@pytest.fixture
def upgraded(kept_upgrades: KeptFolder, clean_environment: dict[str, str]) -> Iterator[Deployment]:
    kept_upgrades.put_back()
    made = Deployment(kept_upgrades.folder, dict(clean_environment))
    yield made
    made.end()
    kept_upgrades.check_left()
    assert not list(Path(made.environment["HOME"]).glob(".cache/envman/scratch/*"))


def before(deployment: Deployment) -> str:
    """The older generation."""
    return next(iter(deployment.generations() - {deployment.current("env_a")}))


def words(deployment: Deployment, kind: str, planted: str, code: str = "1") -> list[str]:
    command = ["python", "trial.py", kind, planted, code]
    return ["bisect", "env_a", "--good", before(deployment), "--json", "--", *command]


def culprits(result: dict[str, Any]) -> list[list[str]]:
    return [[one["package"] for one in group] for group in result["culprits"]]


def test_one_planted_among_fourteen_is_found_in_at_most_five_builds(upgraded: Deployment) -> None:
    published = (upgraded.current("env_a"), upgraded.generations())
    result = upgraded.ok(*words(upgraded, "fail", "part-09")).json["result"]
    assert culprits(result) == [["part-09"]]
    assert (result["changed"], result["culprits"][0][0]) == (
        14,
        {"package": "part-09", "old": "1.0", "new": "2.0"},
    )
    assert result["builds"] <= 5
    assert [step["verdict"] for step in result["steps"][:2]] == ["good", "bad"]
    assert result["said"] == "the planted one"
    assert (upgraded.current("env_a"), upgraded.generations()) == published
    assert not (upgraded.root / ".state/set-1.history").exists()


def test_two_that_fail_together_and_two_that_can_not_be_told_apart(upgraded: Deployment) -> None:
    plain = [word for word in words(upgraded, "fail", "grid,part-11", "127") if word != "--json"]
    said = upgraded.ok(*plain).stdout  # 127 is bad, as the command was found in the good one
    assert "It takes frame 1.0 -> 2.0, grid 1.0 -> 2.0 together with part-11 1.0 -> 2.0 to make" in said


def test_the_interpreter_is_tried_first_where_it_differs_too(upgraded: Deployment) -> None:
    """Nothing but the recorded version differs here; the command fails outside of the good generation."""
    manifest = upgraded.root / ".gen" / before(upgraded) / "envman.json"
    document = json.loads(manifest.read_text())
    document["interpreter"]["version"] = "3.0.0"
    manifest.write_text(json.dumps(document))
    code = f"import sys; sys.exit(not sys.prefix.endswith({before(upgraded)!r}))"
    arguments = ("--good", before(upgraded), "--json", "--", "python", "-c", code)
    result = upgraded.ok("bisect", "env_a", *arguments).json["result"]
    assert (result["culprits"], result["builds"]) == ([], 1)
    assert result["interpreter"][0].endswith("3.0.0")


def test_sets_that_can_not_be_judged_leave_suspects(upgraded: Deployment) -> None:
    result = upgraded.run(*words(upgraded, "skip", ",".join(NAMES)))
    assert result.exit_code == 1
    assert 1 < len(result.json["result"]["suspects"]) <= 5
    assert "125" in result.json["problems"][0]["remedy"]


def test_ctrl_c_leaves_nothing_behind(upgraded: Deployment) -> None:
    process = upgraded.start(*words(upgraded, "sleep", "part-09"))
    until((upgraded.folder / "asleep").exists, "no mixed set is tried")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130


def test_what_can_not_be_searched_is_said_before_anything_is_built(upgraded: Deployment) -> None:
    good, bad = before(upgraded), upgraded.current("env_a")
    command = ("--", "python", "trial.py", "fail", "grid", "1")
    for arguments, code, said in (
        (("--good", bad, "--bad", good, *command), 1, "is bad, not good"),
        (("--good", good, "--", "true"), 1, "is good, not bad"),
        (("--good", good, "--bad", good, *command), 2, "same generation"),
        (("--good", "0123456789ab", *command), 7, "no such generation"),
        (("--good", good, "--", "pytest"), 1, "127"),
        (("--good", good, "--", "python", "trial.py", "fail", "", "200"), 1, "ends the search"),
    ):
        started = time.monotonic()
        result = upgraded.run("bisect", "env_a", *arguments)
        assert (result.exit_code, said in result.stderr) == (code, True), (arguments, result.stderr, started)
        assert "installing" not in result.stderr
