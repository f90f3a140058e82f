"""Bundles that are hard to list: nothing in a folder ends or stops the shared Dag processor."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.airflow import AirflowDeployment
from tests.e2e.conftest import BOTH_WAYS, LOCAL_BUNDLE, Deploy
from tests.e2e.kinds import envman

pytestmark = pytest.mark.registry

WAYS = BOTH_WAYS if os.environ.get("ENVMAN_E2E_ALL") else ["warm"]

DAG = "from airflow.sdk import DAG\nwith DAG('{}', schedule=None):\n    pass\n"
SLOW_IGNORE = "(a|a)*(a|a)*(a|a)*(a|a)*(a|a)*(a|a)*(a|a)*(a|a)*(a|a)*(a|a)*(a|a)*(a|a)*b$\n"
SPARSE = 2**36


@pytest.fixture
def airflow(deploy: Deploy, tmp_path: Path) -> Iterator[AirflowDeployment]:
    """A Dag processor that looks at its bundles all the time; each of them has a Dag."""
    bundles: list[dict[str, object]] = []
    for name in ("bundle_a", "bundle_b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "first.py").write_text(DAG.format(f"first_of_{name}"))
        kwargs = {"path": str(tmp_path / name), "refresh_interval": 1}
        bundles.append({"name": name, "classpath": LOCAL_BUNDLE, "kwargs": kwargs})
    made = deploy(
        bundles,
        AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL="1",
        AIRFLOW__CORE__DAG_IGNORE_FILE_SYNTAX="regexp",
    )
    made.start("dag-processor", *envman("launch", "dag-processor"))
    made.wait_for("the first Dags", lambda: dags(made) == {"first_of_bundle_a", "first_of_bundle_b"})
    yield made
    made.stop_all()


@pytest.fixture
def tmpfs() -> Iterator[Path]:
    """A folder for files of the far future, which other file systems don't take."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def dags(airflow: AirflowDeployment) -> set[str]:
    return {row[0] for row in airflow.rows("select dag_id from dag where not is_stale")}


def errors(airflow: AirflowDeployment) -> dict[str, str]:
    return dict(airflow.rows("select concat(bundle_name, '/', filename), stacktrace from import_error"))


def see_that_others_go_on(airflow: AirflowDeployment, folder: Path, number: int) -> None:
    (folder / f"new_{number}.py").write_text(DAG.format(f"new_{number}"))
    airflow.wait_for("another bundle's new file", lambda: f"new_{number}" in dags(airflow), 60)
    assert {"first_of_bundle_a", "first_of_bundle_b"} <= dags(airflow)


def test_a_bundle_that_cant_be_listed_stays_as_it_was_and_says_why(
    airflow: AirflowDeployment, tmp_path: Path
) -> None:
    loop = tmp_path / "bundle_a/loop"
    loop.symlink_to(".")
    told = airflow.wait_for("the error of the bundle", lambda: errors(airflow).get("bundle_a/."))
    assert "bundle 'bundle_a'" in told
    assert "recursive loop" in told
    see_that_others_go_on(airflow, tmp_path / "bundle_b", 1)
    assert airflow.stop("dag-processor") == 0

    airflow.start("dag-processor", *envman("launch", "dag-processor"))  # with the loop from the beginning
    see_that_others_go_on(airflow, tmp_path / "bundle_b", 2)
    assert [*errors(airflow)] == ["bundle_a/."]
    assert airflow.stop("dag-processor") == 0

    loop.unlink()
    (tmp_path / "bundle_b/new_1.py").unlink()
    airflow.start("dag-processor", *envman("launch", "dag-processor"))
    airflow.wait_for("the end of the error", lambda: errors(airflow) == {})
    airflow.wait_for("the end of a Dag", lambda: "new_1" not in dags(airflow))


def test_others_do_not_wait_for_a_bundle_that_takes_for_ever(
    airflow: AirflowDeployment, tmp_path: Path
) -> None:
    (tmp_path / "bundle_a/.airflowignore").write_text(SLOW_IGNORE)
    with (tmp_path / f"bundle_a/{'a' * 60}.py").open("wb") as sparse:
        sparse.truncate(SPARSE)
    airflow.wait_for("the list that takes for ever", lambda: airflow.workloads("list bundle_a"))
    for number in range(3):
        see_that_others_go_on(airflow, tmp_path / "bundle_b", number)
    assert airflow.workloads("list bundle_a")
    assert airflow.stop("dag-processor") == 0


def test_files_with_names_of_all_kinds_are_parsed_or_left_out(
    airflow: AirflowDeployment, tmp_path: Path, tmpfs: Path
) -> None:
    folder = tmp_path / "bundle_a"
    emoji = "\N{PILE OF POO}" * 55
    future = tmpfs / "future.py"
    named = {
        "deep": "/".join(["d" * 50] * 10) + "/deep.py",
        "with_a_log": "name.py.log/with_a_log.py",
        "its_log": "name.py",
        "spaces": "a b\N{IDEOGRAPHIC SPACE}ç.py",
    }
    for name, path in named.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(DAG.format(name))
    for path in (f"{'x' * 248}.py", "bad_\udce9.py", "new\nline.py"):
        (folder / path).write_text(DAG.format(f"unseen_{len(path)}"))
    (folder / "into_itself.py").symlink_to("into_itself.py")
    (folder / "nowhere.py").symlink_to("/nonexistent")
    for log in ("x.py", f"x.py.log/{emoji}/{emoji}/y.py", "q.py", "q.py.log/y.py"):
        (folder / log).parent.mkdir(parents=True, exist_ok=True)
        (folder / log).write_text(DAG.format(f"logs_of_{len(log)}"))
    future.write_text(DAG.format("future"))
    os.utime(future, (0, 2**40))
    (folder / "future.py").symlink_to(future)
    airflow.wait_for("the Dags", lambda: {*named} <= dags(airflow))
    see_that_others_go_on(airflow, tmp_path / "bundle_b", 1)
    assert not [one for one in dags(airflow) if one.startswith("unseen")]
    assert "Files that no log or database can name" in airflow.output("dag-processor")
    assert "Files that are gone or have no time are left out" in airflow.output("dag-processor")


def test_a_folder_that_cant_be_read_is_not_taken_for_an_empty_one(
    airflow: AirflowDeployment, tmp_path: Path
) -> None:
    folder = tmp_path / "bundle_a"
    folder.rename(tmp_path / "elsewhere")
    told = airflow.wait_for("the error of the bundle", lambda: errors(airflow).get("bundle_a/."))
    assert "FileNotFoundError" in told
    see_that_others_go_on(airflow, tmp_path / "bundle_b", 1)
    assert airflow.stop("dag-processor") == 0
    (tmp_path / "elsewhere").rename(folder)
    airflow.start("dag-processor", *envman("launch", "dag-processor"))
    airflow.wait_for("the end of the error", lambda: errors(airflow) == {})
