"""What a child of a shared component inherits: an allow-list, and never the component's secrets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envman.resolver.inherited import COMPONENTS_OPTIONS, inherited, names_a_team

SECRETS = [
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_ENGINE_ARGS",
    "AIRFLOW__CORE__SQL_ALCHEMY_CONN",
    "AIRFLOW__CORE__FERNET_KEY",
    "AIRFLOW__CORE__FERNET_KEY_SECRET",
    "AIRFLOW__API__SECRET_KEY",
    "AIRFLOW__API_AUTH__JWT_SECRET",
    "AIRFLOW__API_AUTH__JWT_PRIVATE_KEY_PATH",
    "AIRFLOW__WEBSERVER__SECRET_KEY_CMD",
    "AIRFLOW__CELERY__BROKER_URL",
    "AIRFLOW__CELERY__RESULT_BACKEND",
    "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__SENTINEL_KWARGS",
    "AIRFLOW__TEAM_A___DATABASE__SQL_ALCHEMY_CONN",
    "AIRFLOW__TEAM_A___CELERY__BROKER_URL",
    "_AIRFLOW_PROCESS_CONTEXT",
]
KEPT = [
    *(
        "PATH",
        "HOME",
        "LANG",
        "LC_ALL",
        "TZ",
        "TMPDIR",
        "https_proxy",
        "SSL_CERT_FILE",
        "KUBERNETES_SERVICE_HOST",
    ),
    *("AIRFLOW_HOME", "AIRFLOW_CONFIG", "AIRFLOW__CORE__LOAD_EXAMPLES", "AIRFLOW__API__BASE_URL"),
    *("AIRFLOW_CONN_WAREHOUSE", "AIRFLOW_VAR_LIMIT", "AIRFLOW__SMTP__SMTP_HOST", "ENVMAN_ROOT"),
]


@pytest.mark.parametrize("name", SECRETS)
def test_the_components_secrets_stay_with_it(name: str) -> None:
    assert inherited({name: "x"}, ["team_a"], []) == {}


@pytest.mark.parametrize("name", SECRETS)
def test_no_pattern_of_a_spec_lets_a_secret_through(name: str) -> None:
    assert inherited({name: "x"}, ["team_a"], ["*", name]) == {}


@pytest.mark.parametrize("name", KEPT)
def test_what_workloads_need_comes_along(name: str) -> None:
    assert inherited({name: "x"}, [], []) == {name: "x"}


def test_what_is_not_on_the_list_needs_the_spec() -> None:
    caller = {"WAREHOUSE_PASSWORD": "x"}
    assert inherited(caller, [], []) == {}
    assert inherited(caller, [], ["WAREHOUSE_*"]) == caller


@pytest.mark.parametrize(
    "name",
    ["AIRFLOW__TEAM_A___CORE__PARALLELISM", "AIRFLOW_CONN__TEAM_A___DB", "AIRFLOW_VAR__TEAM_A___LIMIT"],
)
def test_a_teams_variables_reach_that_team_alone(name: str) -> None:
    assert names_a_team(name)
    assert inherited({name: "x"}, ["team_a"], []) == {name: "x"}
    assert inherited({name: "x"}, ["team_b"], []) == {}
    assert inherited({name: "x"}, [], [name]) == {}


def test_a_connection_with_underscores_names_no_team() -> None:
    assert not names_a_team("AIRFLOW_CONN_MY_DB")
    assert inherited({"AIRFLOW_CONN_MY___DB": "x"}, [], []) == {"AIRFLOW_CONN_MY___DB": "x"}


@given(
    st.dictionaries(st.text("ABC_", min_size=1), st.text(max_size=3)), st.lists(st.text("ABC_*", min_size=1))
)
def test_nothing_is_added_or_altered(caller: dict[str, str], passed: list[str]) -> None:
    found = inherited(caller, [], passed)
    assert found.items() <= caller.items()


def test_every_option_of_the_list_is_one_of_airflows_sections() -> None:
    assert all(option.isupper() and option.count("__") == 1 for option in COMPONENTS_OPTIONS)
