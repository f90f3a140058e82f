"""The live Airflow of a proof: how it is found, what it gets, and which one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from envman.deployment.environment_script import InsideError
from envman.errors import UsageError
from envman.proof.bundle_proof import ProofPair, proved_bundle
from envman.proof.parse_runs import ProofAsk, ProofRun, ProofSide, run_side
from envman.proof.parsed_file import FileParse, interpreter_facts
from envman.proof.sides import LiveAirflow, check_live, live_airflow
from envman.system.processes import Processes

LIVE = LiveAirflow("/opt/airflow/bin/python", {}, {}, "/nowhere")


@pytest.fixture
def python(tmp_path: Path) -> Path:
    program = tmp_path / "venv/bin/python"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("airflow", ["", "2.11.0", "1.10.15", "odd"])
def test_an_airflow_that_can_not_be_compared_with_is_refused(airflow: str) -> None:
    with pytest.raises(UsageError, match=f"Airflow {airflow}" if airflow else "no Airflow"):
        check_live(interpreter_facts({"airflow": airflow}, ""), LIVE)


@pytest.mark.parametrize("airflow", ["3.0.6", "3.3.2", "3.4.0b2"])
def test_every_airflow_3_can_be_compared_with(airflow: str) -> None:
    check_live(interpreter_facts({"airflow": airflow}, ""), LIVE)


def test_the_interpreter_is_found_by_its_environment_and_by_airflow_on_path(python: Path) -> None:
    folder = python.parents[1]
    assert live_airflow(folder, (), {"AIRFLOW_HOME": str(folder)}).python == str(python)
    assert live_airflow(python, (), {"AIRFLOW_HOME": str(folder)}).python == str(python)
    command = python.with_name("airflow")
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    environ = {"AIRFLOW_HOME": str(folder), "PATH": str(python.parent)}
    assert live_airflow(None, (), environ).python == str(python)
    with pytest.raises(UsageError, match="no 'airflow' on PATH"):
        live_airflow(None, (), {**environ, "PATH": str(folder)})
    with pytest.raises(UsageError, match="is no program"):
        live_airflow(folder / "nothing", (), environ)


def test_files_are_a_part_of_the_live_bundle_that_they_are_in(python: Path, tmp_path: Path) -> None:
    inner = tmp_path / "dags/team_a"
    inner.mkdir(parents=True)
    link = tmp_path / "linked"
    link.symlink_to(inner)
    live = live_airflow(python, (tmp_path / "dags",), {"AIRFLOW_HOME": str(tmp_path / "home")})
    side = live.side("bundle_a", str(link), tmp_path / "throw-away")
    assert (side.bundle, side.place.folder, side.place.within) == (
        "dags-folder",
        str(tmp_path / "dags"),
        str(inner),
    )
    assert side.place.inner == "team_a/"
    alone = live.side("bundle_a", str(tmp_path), tmp_path / "another")
    assert (alone.bundle, alone.place.folder, alone.place.inner) == ("bundle_a", str(tmp_path), "")


def test_the_live_interpreter_gets_everything_but_the_database(python: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    for name in ("include", "logs", "config"):
        (home / name).mkdir(parents=True)
    for name in ("airflow.cfg", "airflow.db", "passwords.json.generated", "a.sql"):
        (home / name).touch()
    environ = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD": "cat /secret",
        "AIRFLOW__CELERY__BROKER_URL": "redis://",
        "STAGE": "prod",
        "PYTHONPATH": "/opt/common",
    }
    thrown_away = tmp_path / "throw-away"
    side = live_airflow(python, (), environ).side("b", str(tmp_path), thrown_away)
    variables = side.inside.variables
    assert sorted(path.name for path in thrown_away.iterdir()) == [
        "a.sql",
        "airflow.cfg",
        "config",
        "include",
    ]
    assert variables["AIRFLOW_HOME"] == str(thrown_away)
    assert variables["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == "sqlite://"
    assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD" not in variables
    assert {name: variables[name] for name in ("STAGE", "PYTHONPATH", "AIRFLOW__CELERY__BROKER_URL")} == {
        "STAGE": "prod",
        "PYTHONPATH": "/opt/common",
        "AIRFLOW__CELERY__BROKER_URL": "redis://",
    }
    assert variables["PATH"].startswith(f"{python.parent}:")


def test_an_interpreter_that_never_answers_is_ended(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python.write_text("#!/bin/sh\nexec tail -f /dev/null\n")
    monkeypatch.setattr("envman.proof.parse_runs.PATIENCE", 0.2)
    side = live_airflow(python, (), {"AIRFLOW_HOME": str(tmp_path)}).side(
        "b", str(tmp_path), tmp_path / "home"
    )
    with pytest.raises(InsideError, match="gave no answer"):
        run_side(side, ProofAsk(files=()), Processes())


def test_files_in_another_bundles_folder_are_proved_there(python: Path, tmp_path: Path) -> None:
    side = live_airflow(python, (), {"AIRFLOW_HOME": str(tmp_path)}).side(
        "b", str(tmp_path), tmp_path / "home"
    )
    facts = interpreter_facts({"airflow": "3.3.2"}, "")
    parses = {name: [FileParse()] for name in ("a.py", "sales/b.py", "sales_too/c.py")}
    old, new = ProofRun(facts, parses={"a.py": [FileParse()]}), ProofRun(facts, parses=parses)

    def never(_side: ProofSide, _ask: ProofAsk) -> ProofRun:
        raise AssertionError("nothing differs that could be asked again")

    proved = proved_bundle(ProofPair("b", "env_b", "", side, side, inner=("risk", "sales")), old, new, never)
    assert {one.file: one.verdict for one in proved.files} == {"a.py": "equal", "sales_too/c.py": "differs"}
    assert proved.inner == ("sales",)
