"""What is written to start components: read by who would start them."""

from __future__ import annotations

import configparser
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from envman.deployment.service_files import COMPONENTS, UnitFormat, WantedUnits, unit_files
from envman.errors import UsageError
from envman.launch.airflow_configuration import AirflowConfiguration
from envman.launch.components import parse
from envman.usecases.units import components_of, write_units

WANTED = WantedUnits(COMPONENTS, "/venv", "/opt/envman/bin/envman", "/etc/airflow/airflow.env", "reg/a:1")
CHART = tuple(name for name in COMPONENTS if name != "edge-worker")


def services(wanted: WantedUnits) -> dict[str, Any]:
    found = {}
    for name, text in unit_files(wanted, UnitFormat.SYSTEMD).items():
        parser = configparser.RawConfigParser(strict=True)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(text)
        found[name.removeprefix("airflow-").removesuffix(".service")] = parser["Service"]
    return found


def test_each_component_has_a_unit_that_starts_it() -> None:
    for name, service in services(WANTED).items():
        program, launch, *words = shlex.split(service["ExecStart"])
        assert (program, launch) == ("/opt/envman/bin/envman", "launch")
        assert parse(words).component == name
        assert service["User"] == "airflow"
        assert "Delegate" not in service


def test_systemd_finds_no_fault_with_them(tmp_path: Path) -> None:
    for users in (False, True):
        wanted = replace(WANTED, program="/bin/true", has_users=users, has_limits=True)
        for name, text in unit_files(wanted, UnitFormat.SYSTEMD).items():
            (tmp_path / name).write_text(text.replace("User=airflow", "User=root"))
            command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / name)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert name not in done.stderr, done.stderr


def test_they_fit_what_is_published() -> None:
    for name, service in services(replace(WANTED, has_users=True, has_limits=True)).items():
        assert service["User"] == "airflow"
        assert ("Delegate" in service) == ("AmbientCapabilities" in service) == (name != "api-server")


@pytest.mark.parametrize("root", ["/a b", "/a%b", "/a$b", '/a"b'])
def test_a_path_stays_one_word(root: str) -> None:
    (service,) = services(
        replace(WANTED, components=("worker",), root=root, program=f"{root}/envman")
    ).values()
    word = shlex.split(service["ExecStart"].replace("%%", "%"))[0]
    assert word == f"{root}/envman"
    assert shlex.split(service["ReadOnlyPaths"].replace("%%", "%")) == [root]


def test_compose_services_are_probed_and_given_time() -> None:
    (text,) = unit_files(WANTED, UnitFormat.COMPOSE).values()
    made = yaml.safe_load(text)["services"]
    assert tuple(made) == COMPONENTS
    for name, service in made.items():
        assert service["image"] == "reg/a:1"
        assert parse(service["command"]).component == name
        assert ("healthcheck" in service) == (name != "api-server")
        if "healthcheck" in service:
            assert parse(service["healthcheck"]["test"][3:]).flags == {"health"}
    assert made["edge-worker"]["stop_signal"] == "SIGINT"


@pytest.mark.parametrize("root", ["/a b", "/a%b", "/a$b", '/a"b', "/a: b #c"])
def test_compose_finds_no_fault_with_them(tmp_path: Path, root: str) -> None:
    """It reads the file as it was meant: it would put variables of its own in the place of `$`."""
    (tmp_path / "air$flow.env").write_text("KEY=value\n")
    wanted = replace(WANTED, root=root, program=f"{root}/envman", env_file="air$flow.env", has_users=True)
    file = tmp_path / "compose.yaml"
    file.write_text(unit_files(wanted, UnitFormat.COMPOSE)["compose.yaml"])
    command = ["docker-compose", "--file", str(file), "config"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    read = yaml.safe_load(done.stdout.replace("$$", "$"))["services"]
    assert set(read) == {*COMPONENTS}
    for name, service in read.items():
        assert [*service["entrypoint"], *service["command"]] == [f"{root}/envman", "launch", name]
        assert service["environment"] == {"ENVMAN_ROOT": root, "KEY": "value"}
        probe = service.get("healthcheck", {"test": []})["test"]
        assert probe == ([] if name == "api-server" else ["CMD", wanted.program, "launch", name, "--health"])
        assert service.get("user") == (None if name == "api-server" else "0:0")


def test_helm_values_have_the_charts_names() -> None:
    (text,) = unit_files(replace(WANTED, components=CHART), UnitFormat.HELM).values()
    values = yaml.safe_load(text)
    assert values["images"]["airflow"] == {"repository": "reg/a", "tag": "1"}
    components = [values[key] for key in ("apiServer", "scheduler", "dagProcessor", "triggerer")]
    for component in [*components, values["workers"]["celery"]]:
        words = shlex.split(component["args"][2])
        assert words[:3] == ["exec", "/opt/envman/bin/envman", "launch"]
    with pytest.raises(UsageError, match="the official chart has no edge-worker"):
        unit_files(WANTED, UnitFormat.HELM)


@pytest.mark.parametrize("how", [UnitFormat.COMPOSE, UnitFormat.HELM])
def test_an_image_is_needed(how: UnitFormat) -> None:
    with pytest.raises(UsageError, match="starts components from an image"):
        unit_files(replace(WANTED, image=""), how)


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    first = write_units(tmp_path / "d", WANTED, UnitFormat.COMPOSE)
    assert first.files == ("compose.yaml",)
    with pytest.raises(UsageError, match="is there already: compose"):
        write_units(tmp_path / "d", WANTED, UnitFormat.COMPOSE)


@pytest.mark.parametrize(
    ("executor", "workers"),
    [
        ("LocalExecutor", ()),
        ("CeleryExecutor;team_b=CeleryExecutor", ("worker",)),
        ("airflow.providers.edge3.executors.EdgeExecutor", ("edge-worker",)),
    ],
)
def test_the_executor_decides_about_workers(tmp_path: Path, executor: str, workers: tuple[str, ...]) -> None:
    configuration = AirflowConfiguration({"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__EXECUTOR": executor})
    assert components_of(configuration) == ("api-server", "scheduler", "dag-processor", "triggerer", *workers)
