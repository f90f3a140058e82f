"""What an environment's workloads run with."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from envman.airflow.bundle_interpreter import look
from envman.airflow.own_variables import operators_variables, set_for_component
from envman.airflow.runtime import runtime_of
from envman.launch.purpose import Purpose
from tests.airflow.published import Published

RC = 'PATH="$HOME/other:$PATH"\nalias python=other\n'


def test_bash_takes_no_interpreter_from_somebodys_bashrc(published: Published, tmp_path: Path) -> None:
    """A workload's standard input is a socket, as sshd's is: bash would read ~/.bashrc."""
    published.build("env_a", "first")
    published.publish({"bundle_a": ("env_a", "")}, {}, {"env_a": {}}, [])
    (tmp_path / ".bashrc").write_text(RC, encoding="utf-8")
    environ = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    variables = runtime_of(look(), Purpose("env_a"), "first", environ).variables

    def path_in_bash(given: dict[str, str]) -> str:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            words = ["bash", "-c", "echo $PATH"]
            return subprocess.run(
                words, env=given, stdin=theirs, capture_output=True, text=True, check=True
            ).stdout

    told = path_in_bash(dict(variables)).strip().split(":")
    assert told[0] == f"{published.root}/.gen/first/bin"
    # what it holds against: without it, this bash does read the file
    assert "other" in path_in_bash({name: variables[name] for name in ("HOME", "PATH")})


def test_no_other_fernet_key_takes_the_place_of_the_components(published: Published) -> None:
    """One in airflow.cfg, say: nobody could decrypt what a task encrypts."""
    published.build("env_a", "first")
    published.publish({"bundle_a": ("env_a", "")}, {}, {"env_a": {}}, [])
    key = "AIRFLOW__CORE__FERNET_KEY"
    for environ, told in (({key: "a secret"}, ""), ({f"{key}_CMD": "a command"}, ""), ({}, None)):
        assert runtime_of(look(), Purpose("env_a"), "first", environ).variables.get(key) == told


def test_what_envman_sets_for_the_component_alone_stays_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__MP_START_METHOD", "spawn")
    monkeypatch.delenv("AIRFLOW__CELERY__MP_START_METHOD", raising=False)
    monkeypatch.setattr("envman.airflow.own_variables._operators", {})
    for section in ("CORE", "CELERY"):
        set_for_component(f"AIRFLOW__{section}__MP_START_METHOD", "fork")
        set_for_component(f"AIRFLOW__{section}__MP_START_METHOD", "fork")
    assert os.environ["AIRFLOW__CELERY__MP_START_METHOD"] == "fork"
    told = operators_variables()
    assert told["AIRFLOW__CORE__MP_START_METHOD"] == "spawn"
    assert "AIRFLOW__CELERY__MP_START_METHOD" not in told
    monkeypatch.delenv("AIRFLOW__CELERY__MP_START_METHOD")
