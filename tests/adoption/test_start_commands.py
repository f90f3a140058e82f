"""Start commands as people write them: what changes, what stays, what is left to a person."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from envman.adoption.airflow_stage import Way, changed_components
from envman.adoption.start_commands import ChangedFile, NewCommand, StartKind, changed_file
from envman.adoption.start_diff import shows_secrets, start_diff

LAUNCH = "/opt/envman/bin/envman launch"
COMMAND = NewCommand(
    "/opt/envman/bin/envman",
    "/venv",
    "airflow",
    Way.SHARED,
    ("scheduler", "dag-processor", "triggerer", "worker"),
)


def changed(kind: StartKind, text: str, command: NewCommand = COMMAND) -> ChangedFile:
    return changed_file("/etc/airflow/file", kind, text, command)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/opt/airflow/bin/airflow scheduler", f"{LAUNCH} scheduler --root /venv"),
        ("-/opt/airflow/bin/airflow triggerer", f"-{LAUNCH} triggerer --root /venv"),
        ("/opt/airflow/bin/python3.12 -m airflow dag-processor", f"{LAUNCH} dag-processor --root /venv"),
        (
            "/opt/bin/airflow dag-processor --num-runs 5",
            f"{LAUNCH} dag-processor --root /venv -- --num-runs 5",
        ),
        ("/usr/bin/env airflow celery worker -c 8", f"/usr/bin/env {LAUNCH} worker --root /venv -- -c 8"),
        (
            "/bin/bash -c 'source /opt/a/bin/activate && exec airflow celery worker'",
            f"/bin/bash -c 'source /opt/a/bin/activate && exec {LAUNCH} worker --root /venv'",
        ),
        (
            "/opt/airflow/bin/airflow triggerer \\\n    --capacity 5",
            f"{LAUNCH} triggerer --root /venv -- \\\n    --capacity 5",
        ),
    ],
)
def test_a_units_command_is_replaced_and_its_arguments_are_kept(old: str, new: str) -> None:
    unit = f"[Service]\n# ExecStart=/opt/airflow/bin/airflow scheduler\nExecStart={old}\nRestart=always\n"
    assert changed(StartKind.SYSTEMD, unit).new == unit.replace(f"\nExecStart={old}", f"\nExecStart={new}")


@pytest.mark.parametrize(
    "command",
    [
        "/opt/airflow/bin/airflow api-server",
        "/opt/airflow/bin/airflow db migrate",
        "/opt/envman/bin/envman exec --environment a -- airflow scheduler",
        "/opt/airflow/bin/airflow scheduler-of-ours",
        "/usr/bin/true",
    ],
)
def test_all_other_commands_stay(command: str) -> None:
    unit = f"[Service]\nExecStart={command}\nExecStartPre=/opt/airflow/bin/airflow scheduler\n"
    found = changed(StartKind.SYSTEMD, unit)
    assert (found.new, found.by_hand) == (unit, ())


def test_what_is_not_understood_is_named() -> None:
    found = changed(StartKind.SYSTEMD, "[Service]\nExecStart=/opt/start-airflow-with scheduler\n")
    assert (found.new, found.by_hand) == (found.old, ("line 2",))


def test_a_line_without_end_is_left_to_a_person_at_once() -> None:
    line = "ExecStart=/bin/sh -c ':" + "a:" * 400_000 + " airflow scheduler'\n"
    found = changed(StartKind.SYSTEMD, line)
    assert (found.new, found.by_hand) == (line, ("line 1",))


COMPOSE = """\
x-airflow-common: &airflow-common
  image: ${AIRFLOW_IMAGE_NAME:-apache/airflow:3.3.2}
services:
  api:
    <<: *airflow-common
    command: api-server
  scheduler:
    <<: *airflow-common
    command: scheduler  # the one
  dags:
    command: ["dag-processor"]
  triggers:
    command:
      - airflow
      - triggerer
      - --capacity
      - "5"
    restart: always
  worker:
    command: celery worker -c 8
  shell:
    command: bash -c "airflow db migrate && exec airflow scheduler"
  folded:
    command: >
      bash -c "true;
      exec airflow triggerer"
  own:
    entrypoint: /bin/tini --
    command: scheduler
"""


def test_a_compose_file_gets_a_shell_where_the_images_entrypoint_adds_airflow() -> None:
    found = changed(StartKind.COMPOSE, COMPOSE)
    services = yaml.safe_load(found.new)["services"]
    before = yaml.safe_load(COMPOSE)["services"]
    assert {name: one["command"] for name, one in services.items()} == {
        "api": "api-server",
        "scheduler": f'bash -c "exec {LAUNCH} scheduler --root /venv"',
        "dags": ["bash", "-c", f"exec {LAUNCH} dag-processor --root /venv"],
        "triggers": ["bash", "-c", f"exec {LAUNCH} triggerer --root /venv -- --capacity 5"],
        "worker": f'bash -c "exec {LAUNCH} worker --root /venv -- -c 8"',
        "shell": f'bash -c "airflow db migrate && exec {LAUNCH} scheduler --root /venv"',
        "folded": f'bash -c "true; exec {LAUNCH} triggerer --root /venv"\n',
        "own": "scheduler",
    }
    assert found.by_hand == ("line 29",)
    assert "# the one" in found.new
    for name, one in services.items():
        assert {**one, "command": ""} == {**before[name], "command": ""}


VALUES = """\
executor: CeleryExecutor
dagProcessor:
  enabled: true
triggerer: {}
workers:
  # more of them
  replicas: 2
  args:
    - bash
    - -c
    - exec airflow celery worker
"""


def test_helm_values_get_args_where_they_are_and_where_there_are_none() -> None:
    found = changed(StartKind.HELM, VALUES.rstrip())
    values = yaml.safe_load(found.new)
    assert values["executor"] == "CeleryExecutor"
    assert values["dagProcessor"]["enabled"] is True
    assert values["workers"]["replicas"] == 2
    assert {key: values[key]["args"] for key in ("dagProcessor", "triggerer", "workers", "scheduler")} == {
        key: ["bash", "-c", f"exec {LAUNCH} {name} --root /venv"]
        for key, name in (
            ("dagProcessor", "dag-processor"),
            ("triggerer", "triggerer"),
            ("workers", "worker"),
            ("scheduler", "scheduler"),
        )
    }


def test_before_airflow_3_3_the_stock_component_runs_inside_the_environment() -> None:
    inside = NewCommand("/opt/envman/bin/envman", "/venv", "airflow", Way.INSIDE, ("scheduler",))
    found = changed(StartKind.SYSTEMD, "ExecStart=/opt/airflow/bin/airflow scheduler -n 5\n", inside)
    assert found.new == (
        "ExecStart=/opt/envman/bin/envman exec --root /venv --environment airflow -- airflow scheduler -n 5\n"
    )


@pytest.mark.parametrize(
    ("executor", "components"),
    [
        ("", {"scheduler", "dag-processor", "triggerer"}),
        ("LocalExecutor", {"scheduler", "dag-processor", "triggerer"}),
        ("CeleryExecutor", {"worker", "dag-processor", "triggerer"}),
        ("LocalExecutor,CeleryExecutor", {"scheduler", "worker", "dag-processor", "triggerer"}),
        ("KubernetesExecutor", {"scheduler", "dag-processor", "triggerer"}),
        ("airflow.providers.edge3.executors.EdgeExecutor", {"edge-worker", "dag-processor", "triggerer"}),
    ],
)
def test_the_components_that_run_bundles_code_change(executor: str, components: set[str]) -> None:
    assert set(changed_components(executor)) - {"standalone"} == components


UNIT = "[Service]\nEnvironment=AIRFLOW__CORE__FERNET_KEY=hidden\nExecStart=/opt/airflow/bin/airflow scheduler"


def test_a_diff_shows_no_line_that_may_be_a_secret() -> None:
    diff = start_diff([changed(StartKind.SYSTEMD, UNIT)])
    assert "hidden" not in diff
    assert diff == (
        "--- a/etc/airflow/file\n+++ b/etc/airflow/file\n@@ -3 +3 @@\n"
        "-ExecStart=/opt/airflow/bin/airflow scheduler\n\\ No newline at end of file\n"
        f"+ExecStart={LAUNCH} scheduler --root /venv\n\\ No newline at end of file\n"
    )


def test_of_lines_around_a_change_only_known_ones_are_shown() -> None:
    """A secret may have any name."""
    lines = ["[Service]\n", "User=airflow\n", "ExecStart=/opt/airflow/bin/airflow scheduler\n"]
    assert " User=airflow" in start_diff([changed(StartKind.SYSTEMD, "".join(lines))])
    for line in ("Environment=LOGIN_OF_ANN=hidden\n", "# the old one was hidden\n"):
        assert "hidden" not in start_diff([changed(StartKind.SYSTEMD, "".join([*lines, line]))])
    service = "  scheduler:\n    <<: *common\n    command: scheduler\n    restart: always\n"
    assert " restart: always" in start_diff([changed(StartKind.COMPOSE, service)])
    for line in ("    environment: {ANN: hidden}\n", "      ANN: hidden\n", "      - ANN=hidden\n"):
        assert "hidden" not in start_diff([changed(StartKind.COMPOSE, service + line)])


@pytest.mark.parametrize("name", ["DB_PASSWORD", "LOGIN_OF_ANN"])
def test_a_secret_in_a_line_that_changes_keeps_the_file_out_of_the_diff(name: str) -> None:
    secret = changed(StartKind.SYSTEMD, f"ExecStart=/usr/bin/env {name}=hidden airflow scheduler\n")
    assert secret.new != secret.old
    assert shows_secrets(secret)
    assert start_diff([secret]) == ""


PAGE = (Path(__file__).parents[2] / "docs/how-to/from-airflow.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", StartKind)
def test_the_page_shows_what_is_written(kind: StartKind) -> None:
    section = re.split(rf"### Switch: {kind.value}\n", PAGE, flags=re.IGNORECASE)[1]
    shown = section.partition("```diff\n")[2].partition("```")[0]
    old = "".join(f"{line[1:]}\n" for line in shown.splitlines() if line[:1] in " -")
    new = "".join(f"{line[1:]}\n" for line in shown.splitlines() if line[:1] in " +")
    root = re.search(r"--root ([^\s\"]+)", new)
    assert root is not None
    assert changed(kind, old, replace(COMMAND, root=root[1], components=("dag-processor",))).new == new
