"""The variables of programs that a component starts: those of a list, in whatever way Python starts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import envman

HOUSE = Path(envman.__file__).parents[1]
TELL = "import json, os; print(json.dumps(dict(os.environ)))"
BEGIN = f"""
import asyncio, json, multiprocessing, os, subprocess, sys
sys.path.insert(0, {str(HOUSE)!r})
from envman.airflow import started_programs
started_programs.install()
TELL = [sys.executable, "-c", {TELL!r}]
def one():
    print(json.dumps(dict(os.environ)), flush=True)
async def later():
    process = await asyncio.create_subprocess_exec(*TELL, stdout=-1)
    print((await process.communicate())[0].decode())
"""
WAYS = {
    "inherited": "print(subprocess.check_output(TELL, text=True))",
    "by a shell": "print(subprocess.check_output(f\"{TELL[0]} -c '{TELL[2]}'\", shell=True, text=True))",
    "by os.popen": "print(os.popen(f\"{TELL[0]} -c '{TELL[2]}'\").read())",
    "by asyncio": "asyncio.run(later())",
    "a copy": "print(subprocess.check_output(TELL, text=True, env=os.environ.copy()))",
    "a dict": "print(subprocess.check_output(TELL, text=True, env={**os.environ, 'LC_ALL': 'C'}))",
    "posix_spawn": "print(subprocess.check_output(TELL, text=True, close_fds=False, env=dict(os.environ)))",
    "vfork": "print(subprocess.check_output(TELL, text=True, close_fds=False, cwd='/'))",
}
SECRETS = {
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite:///secret",
    "AIRFLOW__CORE__FERNET_KEY": "secret",
    "AIRFLOW_CONN_X": "http://secret",
    "AIRFLOW_VAR_X": "secret",
    "AIRFLOW__TEAM_A___CELERY__BROKER_URL": "redis://secret",
    "_AIRFLOW_WWW_USER_PASSWORD": "secret",
    "AWS_SECRET_ACCESS_KEY": "secret=with an equals sign",
    "VAULT_TOKEN": "secret",
    "VAULT_ADDR": "of no secret",
    "GIT_CONFIG_VALUE_0": "Authorization: secret",
}
LISTED = {"PATH": os.environ["PATH"], "HOME": "/", "AIRFLOW_HOME": "/airflow", "GIT_SSH_COMMAND": "ssh -v"}


def told(code: str, tmp_path: Path, **variables: str) -> dict[str, str]:
    script = tmp_path / "component.py"
    script.write_text(BEGIN + "if __name__ == '__main__':\n    " + code + "\n")
    finished = subprocess.run(
        [sys.executable, script],
        env=LISTED | SECRETS | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert finished.returncode == 0, finished.stderr
    answer: dict[str, str] = json.loads(finished.stdout)
    return answer


def secret(found: dict[str, str]) -> set[str]:
    return found.keys() & SECRETS.keys()


@pytest.mark.parametrize("way", WAYS)
def test_a_program_gets_the_variables_of_the_list(way: str, tmp_path: Path) -> None:
    found = told(WAYS[way], tmp_path)
    assert secret(found) == set()
    assert found.items() >= LISTED.items()


def test_what_multiprocessing_starts_is_no_exception(tmp_path: Path) -> None:
    code = "multiprocessing.get_context('spawn').Process(target=one).start()"
    assert secret(told(code, tmp_path)) == set()


def test_what_the_caller_gives_besides_is_the_callers(tmp_path: Path) -> None:
    """GitPython has a copy, and adds to it."""
    given = "{**os.environ, 'GIT_SSH_COMMAND': 'ssh -i key', 'VAULT_TOKEN': 'another', 'NEW': 'one'}"
    found = told(f"print(subprocess.check_output(TELL, text=True, env={given}))", tmp_path)
    assert secret(found) == {"VAULT_TOKEN"}
    assert (found["GIT_SSH_COMMAND"], found["VAULT_TOKEN"], found["NEW"]) == ("ssh -i key", "another", "one")


def test_an_operator_may_name_further_ones(tmp_path: Path) -> None:
    further = {"ENVMAN_PROGRAMS_GET": "VAULT_*  AIRFLOW_VAR_X"}
    found = told(WAYS["inherited"], tmp_path, **further)
    assert secret(found) == {"VAULT_TOKEN", "VAULT_ADDR", "AIRFLOW_VAR_X"}


def test_the_process_itself_keeps_all_of_them(tmp_path: Path) -> None:
    found = told("one()", tmp_path)
    assert secret(found) == {*SECRETS}


def test_workloads_are_started_with_theirs(tmp_path: Path) -> None:
    code = "os.waitpid(os.posix_spawn(TELL[0], TELL, {'AIRFLOW_CONN_X': 'http://secret'}), 0)"
    assert secret(told(code, tmp_path)) == {"AIRFLOW_CONN_X"}


OWN = """started_programs.install(but_own_interpreter=True)
    mine = json.loads(subprocess.check_output(TELL, text=True))
    others = subprocess.check_output(["/usr/bin/env"], text=True)
    print(json.dumps({"mine": "VAULT_TOKEN" in mine, "others": "VAULT_TOKEN" in others}))"""


def test_a_component_whose_own_interpreter_is_more_of_it(tmp_path: Path) -> None:
    """As the API server's, whose processes begin anew."""
    script = tmp_path / "component.py"
    begin = BEGIN.replace("started_programs.install()\n", "")
    script.write_text(begin + "if __name__ == '__main__':\n    " + OWN + "\n")
    command = [sys.executable, script]
    told = subprocess.run(command, env=LISTED | SECRETS, capture_output=True, text=True, check=True).stdout
    assert json.loads(told) == {"mine": True, "others": False}
