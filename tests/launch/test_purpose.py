"""Which of a component's variables the workloads of an environment get, as its table and its bundles say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from envman.errors import SpecError
from envman.launch.airflow_configuration import VARIABLE as BUNDLES
from envman.launch.airflow_configuration import AirflowConfiguration
from envman.launch.narrowed_options import COORDINATORS
from envman.launch.purpose import kept_back, purpose_of_bundle, variables_for
from envman.resolver.credential import FILE, Credential
from envman.resolver.snapshot import Snapshot
from envman.resolver.table import Table, render_table

ADDRESS = "https://user:secret@git.company.example/{}.git"
LISTED = [
    {"name": name, "classpath": "a.Git", "kwargs": {"repo_url": ADDRESS.format(name)}, "team_name": team}
    for name, team in (("bundle_a", None), ("bundle_b", "team_b"), ("bundle_c", None), ("lost", "nobody"))
]
BACKEND = {"AIRFLOW__SECRETS__BACKEND": "a.Vault", "AIRFLOW__SECRETS__BACKEND_KWARGS": '{"token": "secret"}'}


def table(more: list[tuple[str, ...]], settings: Mapping[str, str], keep_out: tuple[str, ...]) -> Table:
    """bundle_a and bundle_c are of env_a, bundle_b is of env_b by its team, which Airflow knows."""
    bundles = {"bundle_a": ("env_a", ""), "bundle_c": ("env_a", "")}
    environments = {"env_a": (keep_out, settings), "env_b": ((), {})}
    return Table(render_table(bundles, {"team_b": "env_b"}, environments, None, more))


def variables_of(
    bundle: str,
    environ: Mapping[str, str],
    *more: tuple[str, ...],
    settings: Mapping[str, str] | None = None,
    keep_out: tuple[str, ...] = (),
) -> dict[str, str]:
    environ = {"AIRFLOW_HOME": "/nowhere", BUNDLES: json.dumps(LISTED), **environ}
    made = table([*more], settings or {}, keep_out)
    snapshot = Snapshot("/venv", made, AirflowConfiguration(environ).bundles)
    return variables_for(snapshot, purpose_of_bundle(snapshot, bundle, environ), "/venv/bin", environ)


def names_in(text: str) -> list[str]:
    entries: list[dict[str, Any]] = json.loads(text)
    assert all(entry in LISTED for entry in entries)
    return [entry["name"] for entry in entries]


def test_a_workload_knows_the_bundles_of_its_environment_and_no_other() -> None:
    assert names_in(variables_of("bundle_a", {})[BUNDLES]) == ["bundle_a", "bundle_c"]
    assert names_in(variables_of("bundle_b", {})[BUNDLES]) == ["bundle_b"]


def test_another_table_or_list_is_another_answer() -> None:
    """What is kept of the list that was read last is never taken for another."""
    assert names_in(variables_of("bundle_a", {})[BUNDLES]) == ["bundle_a", "bundle_c"]
    fewer = {BUNDLES: json.dumps(LISTED[:2])}
    assert names_in(variables_of("bundle_a", fewer)[BUNDLES]) == ["bundle_a"]
    default = ("default", "-", "env_a")
    assert names_in(variables_of("bundle_a", {}, default)[BUNDLES]) == ["bundle_a", "bundle_c", "lost"]


def test_a_spec_may_pass_the_whole_list_keep_it_out_or_set_another() -> None:
    passed = variables_of("bundle_a", {}, ("pass", "env_a", "AIRFLOW__DAG_PROCESSOR__*"))
    assert names_in(passed[BUNDLES]) == [entry["name"] for entry in LISTED]
    assert BUNDLES not in variables_of("bundle_a", {}, keep_out=("AIRFLOW__DAG_PROCESSOR__*",))
    assert variables_of("bundle_a", {}, settings={BUNDLES: "[]"})[BUNDLES] == "[]"


def test_a_name_in_the_list_is_left_to_airflow_where_it_can_be() -> None:
    entry = json.dumps([LISTED[0] | {"kwargs": {"token": "$TOKEN"}}])
    assert "$TOKEN" in variables_of("bundle_a", {BUNDLES: entry, "TOKEN": "secret"})[BUNDLES]


def test_a_list_that_is_a_name_is_replaced_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTED", json.dumps(LISTED))
    assert names_in(variables_of("bundle_b", {BUNDLES: "$LISTED"})[BUNDLES]) == ["bundle_b"]
    with pytest.raises(SpecError, match="not valid JSON"):
        variables_of("bundle_a", {BUNDLES: "$NOWHERE"})


def test_a_list_in_airflow_cfg_stays_there() -> None:
    snapshot = Snapshot(
        "/venv", table([], {}, ()), AirflowConfiguration({"AIRFLOW_HOME": "/nowhere"}).bundles
    )
    purpose = purpose_of_bundle(snapshot, "bundle_a", {})
    assert BUNDLES not in variables_for(snapshot, purpose, "/venv/bin", {})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"ts": {"classpath": "a.Node", "kwargs": {"token": "secret"}}}', '{"ts": {"classpath": "a.Node"}}'),
        ("", "{}"),
        ("{", "{}"),
        ("[]", "{}"),
        ('{"ts": 5}', "{}"),
    ],
)
def test_a_coordinator_is_known_by_its_class_alone(text: str, told: str) -> None:
    assert variables_of("bundle_a", {COORDINATORS: text})[COORDINATORS] == told


def test_a_secrets_backend_is_the_components_unless_it_is_passed_as_a_whole() -> None:
    backend = "AIRFLOW__SECRETS__BACKEND"
    assert {name: text for name, text in variables_of("bundle_a", BACKEND).items() if "SECRET" in name} == {
        backend: ""  # that of airflow.cfg would be made without its arguments
    }
    assert variables_of("bundle_a", BACKEND, ("pass", "env_a", backend))[backend] == ""
    passed = variables_of("bundle_a", BACKEND, ("pass", "env_a", "AIRFLOW__SECRETS__*"))
    assert passed.items() >= BACKEND.items()
    assert variables_of("bundle_b", BACKEND, ("pass", "env_a", "AIRFLOW__SECRETS__*"))[backend] == ""
    assert variables_of("bundle_a", BACKEND, settings={backend: "own.Backend"})[backend] == "own.Backend"


def test_what_is_switched_off_is_kept_back() -> None:
    variables = variables_of("bundle_a", BACKEND)
    environ = BACKEND | {
        "AIRFLOW__CORE__FERNET_KEY": "secret",
        "AIRFLOW__CORE__DAGS_FOLDER": "/dags",
        "_": "",
    }
    variables |= {"AIRFLOW__CORE__DAGS_FOLDER": "/dags"}
    assert kept_back(variables, environ) == list(BACKEND)


def handed(*variables: str) -> tuple[str, ...]:
    fields = (Credential(one.lower(), FILE, ("/nowhere",), one, False).text() for one in variables)
    return ("credentials", "env_a", *fields)


def test_a_variable_of_a_credential_is_the_components_in_no_workload() -> None:
    """Whatever a spec passes: a workload whose credential does not come would have the component's."""
    environ = {"AIRFLOW_CONN_X": "http://of-the-component", "TOKEN": "of the component"}
    passed = ("pass", "env_a", "TOKEN")
    before = variables_of("bundle_a", environ, passed)
    assert before.items() >= environ.items()
    after = variables_of("bundle_a", environ, passed, handed("AIRFLOW_CONN_X", "TOKEN"))
    assert after == {name: value for name, value in before.items() if name not in environ}


WORKERS = "AIRFLOW__WORKERS__SECRETS_BACKEND"


@pytest.mark.parametrize(
    "environ", [{}, BACKEND, {f"{WORKERS}_KWARGS": "{}"}, {WORKERS: "a.Vault", f"{WORKERS}_KWARGS": "{}"}]
)
def test_a_backend_of_the_environments_own_takes_nothing_of_the_components(environ: dict[str, str]) -> None:
    found = variables_of("bundle_a", environ, handed(f"{WORKERS}_KWARGS"), settings={WORKERS: "teams.Own"})
    mine = {name: value for name, value in found.items() if "SECRETS" in name}
    assert mine.pop("AIRFLOW__SECRETS__BACKEND", "") == ""
    assert mine == {WORKERS: "teams.Own"}


def test_arguments_alone_make_no_backend_of_the_components() -> None:
    environ = {WORKERS: "a.Vault", f"{WORKERS}_KWARGS": "{}"}
    found = variables_of("bundle_a", environ, handed(f"{WORKERS}_KWARGS"))
    off = dict.fromkeys((WORKERS, "AIRFLOW__SECRETS__BACKEND"), "")
    assert {name: value for name, value in found.items() if "SECRETS" in name} == off
