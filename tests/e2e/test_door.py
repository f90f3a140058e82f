"""One shared Dag processor, and files that say what no file says: each is its own error, and nobody else's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.conftest import BOTH_WAYS, LOCAL_BUNDLE, Deploy, Estate
from tests.e2e.kinds import envman

pytestmark = pytest.mark.registry

WAYS = BOTH_WAYS if os.environ.get("ENVMAN_E2E_ALL") else ["warm"]

BEGIN = "from airflow.sdk import DAG\nimport json, os, struct, sys, time\n"
STAYS = "time.sleep(1000)\n"
LOG = 101
"""The descriptor of a workload's log; that of its requests is 0."""

ODD_LINES = [
    *(
        "5",
        "null",
        "[]",
        "{",
        '{"event": "no level"}',
        '{"level": 5, "event": "x"}',
        '{"level": "info", "msg": "x"}',
    ),
    *('{"level": "info", "event": "x", "target": 1}', '{"level": "info", "event": "x", "timestamp": "soon"}'),
    *('{"level": "info", "event": {"a": 1}, "exc_info": true}', '{"level": "info", "event": "\\\\ud800"}'),
    '{"level": "info", "event": "x", "a": ' + "[" * 3000 + "]" * 3000 + "}",
]
HARMLESS = {
    "odd_lines.py": f"for line in {ODD_LINES!r}:\n    os.write({LOG}, line.encode() + b'\\n')\n",
    "long_lines.py": f"os.write({LOG}, b'x' * 3_000_000)\nos.write(1, b'y' * 3_000_000)\n",
}
"""What is put right, so that the file's Dags are there."""

ENDED = {
    "no_array.py": 'os.write(0, struct.pack(">I", 3) + b"\\x01\\x02\\x03")\n' + STAYS,
    "no_message.py": 'os.write(0, struct.pack(">I", 1) + b"\\x05")\n' + STAYS,
    "huge.py": 'os.write(0, b"\\xff\\xff\\xff\\xff")\n' + STAYS,
    "empty.py": 'os.write(0, b"\\0\\0\\0\\0")\n' + STAYS,
}
"""What its parse is ended for."""

FLOOD = "while True:\n    os.write(1, b'x' * 65536)\n"
"""What is ended for how much it prints, or, where the machine is too slow for that, by its time."""

NEVER_READS = """
from airflow.sdk.execution_time.comms import GetVariable, _RequestFrame

dag = DAG("never_reads")
for number in range(10_000_000):
    request = _RequestFrame(id=number, body=GetVariable(key="x" * 200).model_dump())
    os.write(0, bytes(request.as_bytes()))
"""
UNKEPT = {
    "nul.py": 'dag = DAG("nul", schedule=None, description="a\\0b")\n',
    "number.py": 'dag = DAG("number", schedule=None)\ndag.max_active_tasks = 2**40\n',
    "owner.py": """
from airflow.sdk import BaseOperator

with DAG("owner", schedule=None, default_args={"owner": "o" * 3000}):
    BaseOperator(task_id="t")
""",
}
"""What a database can't keep."""

LEAVES = {"leaves.py": "os._exit(0)\n"}
"""What ends as if all were well, and has no result."""

SAYS_NUL = "raise ValueError('a text with \\0 in it')\n"

LIES = """
dag = DAG("lies", schedule=None)
dag.fileloc = "/proc/self/environ"
dag.relative_fileloc = "honest.py"
another = DAG("of_b", schedule=None)
"""
ASKS = """
from airflow.sdk import Variable

got = [Variable.get(name, default="nothing") for name in ("_OTHER_TEAM___X", "_other_team___x", "ALLOWED")]
dag = DAG("got_" + "_".join(got), schedule=None)
"""


def test_what_files_say_is_their_own(deploy: Deploy, tmp_path: Path) -> None:
    dag = 'dag = DAG("{}", schedule=None)\n'
    files = {name: dag.format(name[:-3]) + code for name, code in (HARMLESS | ENDED | LEAVES).items()}
    files |= UNKEPT | {
        "says_nul.py": SAYS_NUL,
        "never_reads.py": NEVER_READS,
        "flood.py": FLOOD,
        "lies.py": LIES,
        "asks.py": ASKS,
    }
    bundles = []
    for name, found in (("bundle_a", files), ("bundle_b", {"honest.py": dag.format("of_b")})):
        (tmp_path / name).mkdir()
        for file, code in found.items():
            (tmp_path / name / file).write_text(BEGIN + code)
        bundles.append({"name": name, "classpath": LOCAL_BUNDLE, "kwargs": {"path": str(tmp_path / name)}})
    airflow = deploy(
        bundles,
        AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT="40",
        AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT="0",
        AIRFLOW_VAR__OTHER_TEAM___X="secret",
        AIRFLOW_VAR_ALLOWED="allowed",
    )
    for words in (["--bundle-name", "bundle_b"], []):
        finished = airflow.run(*envman("launch", "dag-processor", "--", "--num-runs", "1", *words))
        assert finished.returncode == 0, finished.stderr[-3000:]
    there = "not is_stale and not has_import_errors"
    query = f"select dag_id, concat(bundle_name, '/', relative_fileloc) from dag where {there}"
    dags = dict(airflow.rows(query))
    errors = dict(airflow.rows("select filename, stacktrace from import_error"))
    code = dict(airflow.rows("select dag_id, source_code from dag_code"))
    assert dags == {
        "of_b": "bundle_b/honest.py",
        "lies": "bundle_a/lies.py",
        "odd_lines": "bundle_a/odd_lines.py",
        "long_lines": "bundle_a/long_lines.py",
        "got_nothing_nothing_allowed": "bundle_a/asks.py",
    }
    assert code["lies"] == BEGIN + LIES
    own = {"lies.py", "never_reads.py", "says_nul.py"}
    assert set(errors) - {"flood.py"} == {*ENDED, *UNKEPT, *LEAVES, *own}
    for name in LEAVES:
        assert "the interpreter of the bundle 'bundle_a' exited with 0" in errors[name]
    for name in UNKEPT:
        assert "What this file has could not be written to Airflow's database: " in errors[name]
    assert "a text with \N{SYMBOL FOR NULL} in it" in errors["says_nul.py"]
    for name in ENDED:
        assert "The parse of this file was ended for what it has sent: " in errors[name]
    assert "a request of 4,294,967,295 bytes, where 1 to 67,108,864 are allowed" in errors["huge.py"]
    assert "The Dag 'of_b' belongs to the bundle 'bundle_b'." in errors["lies.py"]


def test_nothing_that_children_send_ends_a_component(estate: Estate, tmp_path: Path) -> None:
    """Half a minute of what `nox -s fuzz` does for ten."""
    told = estate.in_the_component(tmp_path, "tests.door.hostile", "30")
    assert [line.partition(":")[0] for line in told] == ["parse", "task", "callback", "triggers"]


def test_what_is_behind_the_door_holds(estate: Estate, tmp_path: Path) -> None:
    assert estate.in_the_component(tmp_path, "tests.door.behind")[-1] == "all hold"
