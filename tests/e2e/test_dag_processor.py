"""The shared Dag processor alone, with the rows that it writes: errors, crashes, timeouts, and who is imported where."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from envman.resolver.table import with_first_line
from tests.e2e.airflow import AirflowDeployment
from tests.e2e.conftest import BOTH_WAYS, LOCAL_BUNDLE, Deploy, Estate
from tests.e2e.kinds import envman
from tests.ssh_keys import line, make_key, sign_generation, sign_table, write_policy
from tests.waiting import until

pytestmark = pytest.mark.registry

WAYS = BOTH_WAYS

DAG = "from airflow.sdk import DAG\ndag = DAG('{name}', schedule=None)\n"


def bundle(tmp_path: Path, name: str, files: dict[str, str]) -> dict[str, object]:
    """A bundle with these files, as Airflow's list has it."""
    folder = tmp_path / name
    folder.mkdir()
    for file, text in files.items():
        (folder / file).write_text(text)
    return {"name": name, "classpath": LOCAL_BUNDLE, "kwargs": {"path": str(folder)}}


def once(airflow: AirflowDeployment, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Parse everything once."""
    return airflow.run(*envman("launch", "dag-processor", "--", "--num-runs", "1", *arguments))


def dags(airflow: AirflowDeployment) -> set[str]:
    """Those that are there to users and to the scheduler."""
    return {
        row[0] for row in airflow.rows("select dag_id from dag where not (is_stale or has_import_errors)")
    }


def errors(airflow: AirflowDeployment) -> dict[str, str]:
    return dict(airflow.rows("select filename, stacktrace from import_error"))


def parse_log(airflow: AirflowDeployment, bundle: str, file: str) -> str:
    found = list((airflow.home / "logs/dag_processor").glob(f"*-*-*/{bundle}/{file}.log"))
    assert len(found) == 1, found
    return found[0].read_text()


def test_a_crash_of_the_interpreter_is_that_files_error_alone(deploy: Deploy, tmp_path: Path) -> None:
    segfault = "from airflow.sdk import DAG\nimport ctypes\nprint('before')\nctypes.string_at(0)\n"
    files = {
        "exits.py": "from airflow.sdk import DAG\nimport os\nos._exit(3)\n",
        "fine.py": DAG.format(name="fine"),
        "segfault.py": segfault,
    }
    airflow = deploy([bundle(tmp_path, "bundle_a", files)])
    finished = once(airflow)
    assert finished.returncode == 0, finished.stderr
    assert dags(airflow) == {"fine"}
    found = errors(airflow)
    assert set(found) == {"exits.py", "segfault.py"}
    assert "the interpreter of the bundle 'bundle_a' exited with 3." in found["exits.py"]
    assert "signal 11 (SIGSEGV)" in found["segfault.py"]
    first, *_ = parse_log(airflow, "bundle_a", "segfault.py").splitlines()
    assert json.loads(first)["event"] == "Runs in the environment env_a"
    assert '"before"' in parse_log(airflow, "bundle_a", "segfault.py")


SLOW = """
import os, time
from airflow.sdk import DAG

with open(os.environ["E2E_NOTES"] + "/order", "a") as order:
    order.write("{name} ")
dag = DAG("{name}", schedule=None)
while not os.path.exists(os.environ["E2E_NOTES"] + "/go on"):
    time.sleep(0.05)
"""


def test_bundles_take_turns_so_that_slow_files_keep_no_other_bundle_waiting(
    deploy: Deploy, tmp_path: Path
) -> None:
    """Airflow would parse all that has waited longer first."""
    counts = {"bundle_a": 5, "bundle_b": 2}
    bundles = [
        bundle(tmp_path, name, {f"{n}.py": SLOW.format(name=f"{name[-1]}{n}") for n in range(count)})
        for name, count in counts.items()
    ]
    airflow = deploy(
        bundles,
        AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES="1",
        AIRFLOW__DAG_PROCESSOR__PRINT_STATS_INTERVAL="1",
    )
    airflow.start("dag-processor", *envman("launch", "dag-processor"))
    order = airflow.home / "notes/order"
    airflow.wait_for("the first file", order.exists)
    airflow.wait_for("both lists", lambda: re.search(r"bundle_b +1[.]py", airflow.output("dag-processor")))
    (order.parent / "go on").touch()
    airflow.wait_for("all files", lambda: len(order.read_text().split()) == sum(counts.values()))
    begun = "".join(name[0] for name in order.read_text().split())
    assert begun[begun.index("b") :].startswith("bab"), begun


UNREADABLE = """
from airflow.sdk import DAG
from plugin_a import Weekly

one = DAG("unreadable", schedule=Weekly("@weekly", timezone="UTC"))
other = DAG("readable", schedule=None)
"""


def test_a_dag_that_the_components_can_not_read_is_its_files_error(deploy: Deploy, tmp_path: Path) -> None:
    """Stock Airflow has none of the file's Dags then, and no import error either."""
    files = {"mixed.py": UNREADABLE, "fine.py": DAG.format(name="fine")}
    airflow = deploy([bundle(tmp_path, "bundle_a", files)])
    assert once(airflow).returncode == 0
    assert dags(airflow) == {"fine", "readable"}
    found = errors(airflow)
    assert set(found) == {"mixed.py"}
    assert (
        "The Dag 'unreadable' can't be read by Airflow's components: TimetableNotRegistered"
        in found["mixed.py"]
    )
    assert "parsed in the environment 'env_a'" in found["mixed.py"]
    assert "lacks envman-e2e-a" in found["mixed.py"]


def test_a_parse_that_takes_too_long_is_killed(deploy: Deploy, tmp_path: Path) -> None:
    files = {
        "slow.py": "from airflow.sdk import DAG\nimport time\ntime.sleep(300)\n",
        "fine.py": DAG.format(name="fine"),
    }
    limits = {
        "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "20",
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "0",
    }
    airflow = deploy([bundle(tmp_path, "bundle_b", files)], **limits)
    started = time.monotonic()
    finished = once(airflow)
    assert time.monotonic() - started < 250
    assert "exceeding the timeout" in finished.stdout
    assert "was ended after 20 s: [dag_processor] dag_file_processor_timeout" in errors(airflow)["slow.py"]
    assert dags(airflow) == {"fine"}
    assert airflow.workloads("parse bundle_b") == []


def test_every_channel_of_a_parse_arrives_in_its_log(estate: Estate, deploy: Deploy) -> None:
    airflow = deploy(estate.bundle_list(("bundle_c",)))
    once(airflow)
    log = parse_log(airflow, "bundle_c", "broken.py")
    for text in (
        "stdout of the broken file",
        "stderr of the broken file",
        "structured log of the broken file",
    ):
        assert text in log
    assert "RuntimeError: this file never imports" in errors(airflow)["broken.py"]
    assert airflow.rows("select name from dag_tag") == [("envman_e2e_c",)]


def test_no_module_of_a_team_is_imported_in_the_manager(deploy: Deploy, tmp_path: Path) -> None:
    """A file that imports a provider and watches an asset with a trigger of the team's."""
    watching = (
        "import envman_e2e_a\n"
        "from airflow.providers.standard.operators.bash import BashOperator\n"
        "from airflow.sdk import DAG, Asset, AssetWatcher\n"
        "asset = Asset('watched', watchers=[AssetWatcher(name='w', trigger=envman_e2e_a.Event())])\n"
        "with DAG('watching', schedule=[asset]):\n"
        "    BashOperator(task_id='b', bash_command='true')\n"
    )
    airflow = deploy([bundle(tmp_path, "bundle_a", {"watching.py": watching})])
    python = airflow.stock / "python"
    component = Path(__file__).parents[2] / "envman/airflow/component.py"
    code = (  # the script as it is, and then what is loaded
        f"import sys, runpy; sys.argv = [{str(component)!r}, 'dag-processor', '--num-runs', '1']\n"
        f"try:\n    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        f"finally:\n    open({str(tmp_path / 'seen')!r}, 'w').write('\\n'.join(sys.modules))\n"
    )
    finished = airflow.run(str(python), "-c", code)
    assert dags(airflow) == {"watching"}, finished.stdout + finished.stderr
    seen = (tmp_path / "seen").read_text().split()
    assert "airflow.dag_processing.manager" in seen
    assert not [
        name for name in seen if name.startswith(("envman_e2e", "airflow.providers.standard.operators"))
    ]
    assert "typer" not in seen
    assert "pydantic" in seen


def test_a_bundle_without_an_environment_is_refused_at_the_start(deploy: Deploy, tmp_path: Path) -> None:
    airflow = deploy([bundle(tmp_path, "stranger", {"fine.py": DAG.format(name="fine")})])
    finished = once(airflow)
    assert finished.returncode == 125
    assert "bundle 'stranger'" in finished.stderr
    assert "give 'stranger' an environment or a team" in finished.stderr
    assert dags(airflow) == set()


def test_a_bundle_that_loses_its_environment_later_has_import_errors(
    estate: Estate, deploy: Deploy, tmp_path: Path
) -> None:
    """The table changes while the Dag processor runs: the next parse is refused, and nothing runs elsewhere."""
    root = tmp_path / "root"
    (root / ".state").mkdir(parents=True)
    table = (estate.root / ".state/table").read_text()
    (root / ".state/table").write_text(table)
    (root / ".gen").symlink_to(estate.root / ".gen")
    for name in ("env_a", "core"):
        (root / name).symlink_to((estate.root / name).readlink())
    airflow = deploy([bundle(tmp_path, "bundle_a", {"fine.py": DAG.format(name="fine")})])
    airflow.environ |= {"ENVMAN_ROOT": str(root), "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "1"}
    airflow.start("dag-processor", *envman("launch", "dag-processor"))
    airflow.wait_for("the first parse", lambda: dags(airflow) == {"fine"})
    records = table.partition("\n")[2].replace("bundle\tbundle_a\tenv_a\t", "bundle\tbundle_a\tgone\t")
    (root / ".state/table").write_text(with_first_line(records))
    found = airflow.wait_for("the import error", lambda: errors(airflow))
    assert "This file was not parsed." in found["fine.py"]
    assert "environment 'gone'" in found["fine.py"]
    (root / ".state/table").write_text(table)
    airflow.wait_for("the error to go", lambda: not errors(airflow))


def test_under_a_policy_what_is_not_signed_is_its_files_error(
    estate: Estate, deploy: Deploy, tmp_path: Path
) -> None:
    """It is signed at the start; then a signature goes, as where somebody switches to what they have built."""
    root = tmp_path / "root"
    (root / ".gen").mkdir(parents=True)
    (root / ".state").mkdir()
    shutil.copy(estate.root / ".state/table", root / ".state/table")
    key = make_key(tmp_path, "ci")
    for name in ("env_a", "core"):
        generation = (estate.root / name).resolve()
        shutil.copytree(generation, root / ".gen" / generation.name, symlinks=True, copy_function=os.link)
        (root / name).symlink_to(f".gen/{generation.name}")
        sign_generation(key, str(root), name, generation.name)
    sign_table(key, str(root))
    airflow = deploy([bundle(tmp_path, "bundle_a", {"fine.py": DAG.format(name="fine")})])
    policy = write_policy(tmp_path / "allowed_signers", line(key))
    airflow.environ |= {"ENVMAN_ROOT": str(root), "ENVMAN_ALLOWED_SIGNERS": str(policy)}
    airflow.environ["AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL"] = "1"
    airflow.start("dag-processor", *envman("launch", "dag-processor"))
    airflow.wait_for("the first parse", lambda: dags(airflow) == {"fine"})
    signature = next((root / ".state").glob("env_a@*.sig"))
    signature.rename(tmp_path / "signature")
    found = airflow.wait_for("the import error", lambda: errors(airflow))
    assert "refused by the policy, as it is not signed" in found["fine.py"]
    finished = once(airflow)
    assert finished.returncode == 125
    assert "refused by the policy, as it is not signed" in finished.stderr
    (tmp_path / "signature").rename(signature)
    airflow.wait_for("the error to go", lambda: not errors(airflow))


def test_an_environment_of_another_airflow_is_refused(estate: Estate, deploy: Deploy, tmp_path: Path) -> None:
    root = tmp_path / "root"
    generation = root / ".gen/other0000000"
    generation.mkdir(parents=True)
    source = (estate.root / "env_a").resolve()
    manifest = json.loads((source / "envman.json").read_text())
    own, manifest["packages"]["apache-airflow-core"] = manifest["packages"]["apache-airflow-core"], "3.3.99"
    (generation / "envman.json").write_text(json.dumps(manifest))
    (generation / "bin").symlink_to(source / "bin")
    (root / ".state").mkdir()
    (root / ".state/table").write_text((estate.root / ".state/table").read_text())
    (root / ".gen" / (estate.root / "core").readlink().name).symlink_to((estate.root / "core").resolve())
    (root / "core").symlink_to((estate.root / "core").readlink())
    (root / "env_a").symlink_to(".gen/other0000000")
    airflow = deploy([bundle(tmp_path, "bundle_a", {"fine.py": DAG.format(name="fine")})])
    airflow.environ["ENVMAN_ROOT"] = str(root)
    finished = once(airflow)
    assert finished.returncode == 125
    assert f"environment 'env_a': has Airflow 3.3.99, this component is Airflow {own}" in finished.stderr


def test_what_is_running_ends_with_the_component(deploy: Deploy, tmp_path: Path) -> None:
    """SIGTERM to the Dag processor ends its parse, too."""
    slow = "from airflow.sdk import DAG\nimport os, time\nopen(os.environ['E2E_NOTES'] + '/pid', 'w').write(str(os.getpid()))\ntime.sleep(300)\n"
    airflow = deploy(
        [bundle(tmp_path, "bundle_a", {"slow.py": slow})], AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT="0"
    )
    airflow.start("dag-processor", *envman("launch", "dag-processor"))
    note = airflow.home / "notes/pid"
    airflow.wait_for("the parse", lambda: note.exists() and note.read_text())
    parse = int(note.read_text())
    airflow.stop("dag-processor", signal.SIGTERM)
    until(lambda: not Path(f"/proc/{parse}").exists(), "the parse goes on")


def test_one_bundle_of_several_can_be_chosen(estate: Estate, deploy: Deploy) -> None:
    airflow = deploy(estate.bundle_list())
    once(airflow, "--bundle-name", "bundle_c")
    assert dags(airflow) == {"only_c"}


def test_who_waits_for_a_server_keeps_no_other_bundle_waiting(estate: Estate, tmp_path: Path) -> None:
    held = estate.in_the_component(tmp_path, "tests.airflow.waiting_manager")
    assert held[-1] == "lists_the_bundles_whose_server_is_there_in_their_order"
    assert len(held) >= 5
