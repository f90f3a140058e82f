"""The Amazon provider's executors, ECS, Batch and Lambda: their containers run each workload in its bundle's interpreter."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from envman.launch.container_entrypoint import MODULE
from envman.resolver.table import with_first_line
from tests.e2e.airflow import AirflowDeployment, another_root, publish
from tests.e2e.aws import Aws, Image, serving
from tests.e2e.conftest import CORE_PYTHON, GRIDS, LOCAL_BUNDLE, PYTHONS, Deploy, Estate
from tests.e2e.kinds import envman
from tests.interpreters import interpreter
from tests.ports import free_port

pytestmark = pytest.mark.registry

PAGE = Path(__file__).resolve().parents[2] / "docs/how-to/run-on-aws.md"
PROVIDER = "airflow.providers.amazon.aws.executors"
EXECUTORS = {
    "ecs": f"{PROVIDER}.ecs.ecs_executor.AwsEcsExecutor",
    "batch": f"{PROVIDER}.batch.batch_executor.AwsBatchExecutor",
    "lambda": f"{PROVIDER}.aws_lambda.lambda_executor.AwsLambdaExecutor",
}
LETTERS = ("a", "b", "c")

DAGS = '''
"""A task for each executor. Where `late` is set it ends once the executor has run the callback of a deadline, too."""
import json, os, sys, time
from datetime import timedelta
from pathlib import Path

import envman_e2e_grid
from airflow.sdk import DAG, DeadlineAlert, DeadlineReference, SyncCallback, task

LATE = {late}


def here():
    return ["%d.%d" % sys.version_info[:2], envman_e2e_grid.__version__]


def note(name):
    return Path(os.environ["E2E_NOTES"]) / name


def alert(name):
    note(name).with_suffix(".new").write_text(json.dumps(here()))
    note(name).with_suffix(".new").rename(note(name))


def deadline(name):
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(seconds=1),
        callback=SyncCallback(alert, {{"name": name}}, executor=name),
    )


for name in {executors}:
    with DAG(f"{{name}}_{letter}", schedule=None, deadline=deadline(name) if LATE else None):

        @task(executor=name)
        def where(name):
            print("to standard output")
            while LATE and not note(name).exists():
                time.sleep(0.1)
            return here()

        where(name)
'''

by_executor = pytest.mark.parametrize("executor", EXECUTORS)


def settings(port: int) -> dict[str, str]:
    """Airflow's settings of the three executors, and boto's."""
    here = f"http://127.0.0.1:{port}"
    given = {
        "ECS_EXECUTOR": {"CLUSTER": "airflow", "CONTAINER_NAME": "airflow", "TASK_DEFINITION": "airflow"},
        "BATCH_EXECUTOR": {"JOB_NAME": "airflow", "JOB_QUEUE": "airflow", "JOB_DEFINITION": "airflow"},
        "LAMBDA_EXECUTOR": {
            "FUNCTION_NAME": "airflow",
            "QUEUE_URL": f"{here}/1/results",
            "DEAD_LETTER_QUEUE_URL": f"{here}/1/dead",
        },
    }
    given["ECS_EXECUTOR"] |= {"LAUNCH_TYPE": "EC2", "MAX_RUN_TASK_ATTEMPTS": "1"}
    given["BATCH_EXECUTOR"] |= {"MAX_SUBMIT_JOB_ATTEMPTS": "1"}
    of_airflow = {
        f"AIRFLOW__AWS_{section}__{option}": value
        for section, options in given.items()
        for option, value in options.items()
    }
    return of_airflow | {
        "AIRFLOW__CORE__EXECUTOR": ",".join(f"{alias}:{path}" for alias, path in EXECUTORS.items()),
        "AIRFLOW__CORE__PARALLELISM": "12",
        "AWS_ENDPOINT_URL": here,
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
    }


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    """Three bundles with the same Dags; the deadlines are those of bundle_b."""
    folder = tmp_path_factory.mktemp("bundles")
    listed: list[dict[str, object]] = []
    for letter in LETTERS:
        path = folder / f"bundle_{letter}"
        path.mkdir()
        text = DAGS.format(letter=letter, late=letter == "b", executors=[*EXECUTORS])
        (path / "dags.py").write_text(text)
        listed.append({"name": path.name, "classpath": LOCAL_BUNDLE, "kwargs": {"path": str(path)}})
    return listed


def handler_of_the_docs(folder: Path) -> None:
    """The function of the page, with this checkout's envman."""
    (text,) = re.findall(
        r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert '["/opt/envman/bin/envman", ' in text
    own = json.dumps(envman())[1:-1]
    (folder / "app.py").write_text(text.replace('"/opt/envman/bin/envman"', own))


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of Lambda's function: AWS's runtime client, and no Airflow."""
    folder = tmp_path_factory.mktemp("runtime") / "venv"
    python = folder / "bin/python"
    for words in (
        ["venv", f"-p{interpreter(CORE_PYTHON)}", str(folder)],
        ["pip", "install", f"-p{python}", "awslambdaric", "boto3"],
    ):
        made = subprocess.run(["uv", *words], capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr
    return python


@pytest.fixture(scope="module")
def airflow(deploy: Deploy, bundles: list[dict[str, object]]) -> AirflowDeployment:
    """One deployment with all three executors."""
    return deploy(bundles, **settings(free_port()))


@pytest.fixture(scope="module")
def aws(
    estate: Estate, airflow: AirflowDeployment, runtime: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Aws]:
    """AWS. In its image bundle_c has no environment; its containers get no database and no secret."""
    root = another_root(estate.root, tmp_path_factory.mktemp("image") / "root")
    _, *records = (root / ".state/table").read_text().splitlines()
    publish(root, with_first_line("\n".join([*(line for line in records if "bundle_c" not in line), ""])))
    kept_out = ("DATABASE", "CELERY", "SECRET", "FERNET", "AWS")
    environ = {
        key: value for key, value in airflow.environ.items() if not any(word in key for word in kept_out)
    }
    environ |= {"ENVMAN_ROOT": str(root)}
    address = airflow.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
    function = environ | {key: value for key, value in airflow.environ.items() if key.startswith("AWS_")}
    function |= {
        "AWS_LAMBDA_RUNTIME_API": address,
        "QUEUE_URL": airflow.environ["AIRFLOW__AWS_LAMBDA_EXECUTOR__QUEUE_URL"],
    }
    code = tmp_path_factory.mktemp("function")
    handler_of_the_docs(code)
    account = Aws(
        Image(envman("container-entrypoint"), environ, tmp_path_factory.mktemp("containers")),
        Image([str(runtime), "-m", "awslambdaric", "app.lambda_handler"], function, code),
    )
    with serving(account, int(address.rpartition(":")[2])):
        yield account


@pytest.fixture(scope="module")
def runs(airflow: AirflowDeployment, aws: Aws) -> dict[str, str]:
    """A run of each Dag, by the Dag: what they do below is waited for."""
    airflow.start_api_server()
    airflow.start("dag-processor", *envman("launch", "dag-processor"))
    airflow.start("scheduler", *envman("launch", "scheduler"))
    dags = [f"{executor}_{letter}" for executor in EXECUTORS for letter in LETTERS]
    airflow.wait_for("all Dags", lambda: {*dags} <= airflow.dag_ids())
    return {dag: airflow.trigger(dag) for dag in dags}


@by_executor
@pytest.mark.parametrize("letter", ["a", "b"])
def test_a_task_runs_in_its_bundles_interpreter(
    airflow: AirflowDeployment, runs: dict[str, str], executor: str, letter: str
) -> None:
    dag = f"{executor}_{letter}"
    assert airflow.finished(dag, runs[dag]) == "success", airflow.log(dag, runs[dag], "where")
    assert airflow.xcom(dag, runs[dag], "where") == [PYTHONS[letter], GRIDS[letter]]
    assert "to standard output" in airflow.log(dag, runs[dag], "where")


@by_executor
def test_a_callback_runs_in_its_bundles_interpreter(
    airflow: AirflowDeployment, runs: dict[str, str], executor: str
) -> None:
    """The task of its run has waited for it."""
    assert airflow.finished(f"{executor}_b", runs[f"{executor}_b"]) == "success"
    note = airflow.home / "notes" / executor
    assert json.loads(note.read_text()) == [PYTHONS["b"], GRIDS["b"]]


@by_executor
def test_a_bundle_that_the_image_has_no_environment_for_runs_nothing(
    airflow: AirflowDeployment, aws: Aws, runs: dict[str, str], executor: str
) -> None:
    dag = f"{executor}_c"
    assert airflow.finished(dag, runs[dag]) == "failed"
    assert "to standard output" not in airflow.log(dag, runs[dag], "where")
    folder = (aws.function if executor == "lambda" else aws.image).folder
    said = "".join(file.read_text() for file in folder.glob("*.out"))
    assert "bundle 'bundle_c': The bundle 'bundle_c' has no environment of its own" in said


def test_each_container_got_the_command_of_a_pod(aws: Aws, runs: dict[str, str]) -> None:
    """As the provider's executors have built it: nothing stands between it and the entrypoint."""
    codes = []
    for name, container in aws.containers.items():
        assert list(container.command[:-1]) == ["python", "-m", MODULE, "--json-string"], name
        bundle = json.loads(container.command[-1])["bundle_info"]["name"]
        codes.append((name.partition("-")[0], bundle, container.process.wait(60)))
    wanted = [("bundle_a", 0), ("bundle_b", 0), ("bundle_b", 0), ("bundle_c", 125)]
    assert sorted(codes) == [(kind, *one) for kind in ("batch", "ecs") for one in wanted]


def test_the_functions_own_interpreter_has_no_airflow(runtime: Path) -> None:
    """A handler that forgets the entrypoint fails: nothing runs in the wrong interpreter."""
    asked = subprocess.run([runtime, "-m", MODULE], capture_output=True, text=True, check=False)
    assert asked.returncode == 1
    assert "No module named 'airflow'" in asked.stderr
