"""What a child of a shared component inherits: an allow-list, and never the component's secrets.

That the list of Airflow's options fits each supported Airflow is held in tests/upstream/test_options.py.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envman.resolver.airflow_options import HANDED_ON
from envman.resolver.inherited import COMPONENTS_OPTIONS, inherited, names_a_team, switched_off

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
    "AIRFLOW__FAB__CONFIG_FILE",
    "AIRFLOW__KEYCLOAK_AUTH_MANAGER__CLIENT_SECRET",
    "airflow__core__fernet_key",
    "_AIRFLOW_PROCESS_CONTEXT",
]
CREDENTIALS = [
    # what holds a credential, or may, and what nobody has decided about: a spec may pass it knowingly
    "AIRFLOW__SECRETS__BACKEND",
    "AIRFLOW__SECRETS__BACKEND_KWARGS",
    "AIRFLOW__SECRETS__BACKEND_KWARGS_CMD",
    "AIRFLOW__SECRETS__BACKEND_KWARG__ROLE_ID",
    "AIRFLOW__WORKERS__SECRETS_BACKEND",
    "AIRFLOW__WORKERS__SECRETS_BACKEND_KWARGS",
    "AIRFLOW__WORKERS__SECRETS_BACKEND_KWARG__TOKEN",
    "AIRFLOW__SENTRY__SENTRY_DSN",
    "AIRFLOW__SENTRY__SENTRY_DSN_SECRET",
    "AIRFLOW__SENTRY__DSN",
    "AIRFLOW__CORE__ASSET_MANAGER_KWARGS",
    "AIRFLOW__SMTP__SMTP_PASSWORD",
    "AIRFLOW__SMTP__SMTP_PASSWORD_CMD",
    "AIRFLOW__OPENLINEAGE__TRANSPORT",
    "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST",
    "AIRFLOW__SDK__COORDINATORS",
    "AIRFLOW__LOGGING__REMOTE_TASK_HANDLER_KWARGS",
    "AIRFLOW__ELASTICSEARCH__HOST",
    "AIRFLOW__OPENSEARCH__PASSWORD",
    "AIRFLOW__COMPANYS_PLUGIN__TOKEN",
    "AIRFLOW__CORE__NEW_IN_AIRFLOW_4",
    "AIRFLOW__CORE__DAGS_FOLDER_CMD",
    "AIRFLOW__CORE",
    "AIRFLOW__TEAM_A___SECRETS__BACKEND_KWARGS",
    "AIRFLOW__TEAM_A___COMPANYS_PLUGIN__TOKEN",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
]
WITH_PASSWORDS = {
    "https_proxy": "http://user:secret@proxy:3128",
    "HTTP_PROXY": "user:secret@proxy:3128",
    "all_proxy": "socks5://:secret@proxy",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "https://user:secret@collector",
    "AIRFLOW__API__BASE_URL": "https://user:secret@airflow",
    "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH": "ftp://a,ftp://user:secret@store/xcom",
    "AIRFLOW__TEAM_A___API__BASE_URL": "https://user:p@ss:word@airflow",
}
WITHOUT = {
    "https_proxy": "http://proxy:3128",
    "NO_PROXY": "localhost,10.0.0.0/8,.company.example:80",
    "LC_ALL": "de_DE@euro",
    "LANGUAGE": "en:de_DE@euro",
    "PATH": "/opt/python@3.12/bin:/opt/other@1/bin",
    "AIRFLOW__API__BASE_URL": "https://airflow.company.example:8080/@team",
    "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH": "s3://conn_id@bucket/xcom",
    "AIRFLOW__SMTP__SMTP_MAIL_FROM": "Airflow: all <airflow@company.example>",
    "AIRFLOW_CONN_WAREHOUSE": "postgres://user:secret@warehouse/db",
}
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


@pytest.mark.parametrize("name", CREDENTIALS)
def test_what_may_hold_a_credential_reaches_the_environments_alone_whose_spec_passes_it(name: str) -> None:
    assert inherited({name: "x"}, ["team_a"], []) == {}
    assert inherited({name: "x"}, ["team_a"], ["AIRFLOW_*", "OTEL_*"]) == {name: "x"}


@pytest.mark.parametrize("name", WITH_PASSWORDS)
def test_an_address_with_a_password_needs_the_spec(name: str) -> None:
    caller = {name: WITH_PASSWORDS[name]}
    assert inherited(caller, ["team_a"], []) == {}
    assert inherited(caller, ["team_a"], [name]) == caller


def test_what_only_looks_like_one_does_not() -> None:
    assert inherited(WITHOUT, [], []) == WITHOUT


@pytest.mark.parametrize(
    ("address", "has_password"),
    [
        ("http://host?next=a@b", False),
        ("http://host:80?next=a@b", False),
        ("http://host:80?time=12:00&who=a@b", False),
        ("http://host/?next=a:b@c", False),
        ("http://user@host:80?next=a:b@c", False),
        ("http://user:word@host?next=a", True),
        ("http://user:word@host:80?next=a@b", True),
        ("http://user:12@host:80", True),
        ("http://user:pa?ss@host", True),
        ("http://user:pa?ss@host:80?next=a", True),
        ("http://host:80?next=a@b http://user:word@host", True),
    ],
)
def test_a_query_is_no_password(address: str, has_password: bool) -> None:
    caller = {"HTTP_PROXY": address, "OTEL_EXPORTER_OTLP_ENDPOINT": address}
    assert inherited(caller, [], []) == ({} if has_password else caller)


def test_no_option_that_is_handed_on_is_the_components() -> None:
    caller = {f"AIRFLOW__{option}": "x" for option in HANDED_ON}
    assert inherited(caller, [], []) == caller


SWITCHED_OFF = {
    # of the component, beside what it stands in airflow.cfg: what a workload gets in place of half a setting
    ("AIRFLOW__SECRETS__BACKEND_KWARGS",): {"AIRFLOW__SECRETS__BACKEND": ""},
    ("AIRFLOW__SECRETS__BACKEND_KWARGS_CMD",): {"AIRFLOW__SECRETS__BACKEND": ""},
    ("AIRFLOW__SECRETS__BACKEND_KWARG__TOKEN",): {"AIRFLOW__SECRETS__BACKEND": ""},
    ("AIRFLOW__WORKERS__SECRETS_BACKEND",): {  # else that of the components would take its place
        "AIRFLOW__SECRETS__BACKEND": "",
        "AIRFLOW__WORKERS__SECRETS_BACKEND": "",
    },
    ("AIRFLOW__CORE__ASSET_MANAGER_KWARGS",): {
        "AIRFLOW__CORE__ASSET_MANAGER_CLASS": "airflow.assets.manager.AssetManager",
        "AIRFLOW__CORE__ASSET_MANAGER_KWARGS": "{}",
    },
    ("AIRFLOW__ELASTICSEARCH__HOST",): {"AIRFLOW__LOGGING__REMOTE_LOGGING": "False"},
    ("AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER",): {"AIRFLOW__LOGGING__REMOTE_LOGGING": "False"},
    ("AIRFLOW__SENTRY__SENTRY_DSN",): {"AIRFLOW__SENTRY__SENTRY_ON": "False"},
    ("AIRFLOW__CORE__FERNET_KEY_CMD",): {"AIRFLOW__CORE__FERNET_KEY": ""},
    ("AIRFLOW__CORE__LOAD_EXAMPLES", "AIRFLOW_HOME", "E2E"): {},
}


@pytest.mark.parametrize("names", SWITCHED_OFF)
def test_half_a_setting_is_none(names: tuple[str, ...]) -> None:
    """A backend is not constructed without what it is constructed from, wherever its name stands."""
    caller = dict.fromkeys(names, "x")
    assert switched_off(caller, inherited(caller, [], [])) == SWITCHED_OFF[names]


@pytest.mark.parametrize("names", SWITCHED_OFF)
def test_a_setting_that_is_passed_is_left_as_it_is(names: tuple[str, ...]) -> None:
    caller = dict.fromkeys(names, "x")
    fernet = {name: text for name, text in SWITCHED_OFF[names].items() if "FERNET" in name}
    assert switched_off(caller, inherited(caller, [], ["*"])) == fernet


@pytest.mark.parametrize("name", KEPT)
def test_what_workloads_need_comes_along(name: str) -> None:
    assert inherited({name: "x"}, [], []) == {name: "x"}


def test_what_is_not_on_the_list_needs_the_spec() -> None:
    caller = {"WAREHOUSE_PASSWORD": "x"}
    assert inherited(caller, [], []) == {}
    assert inherited(caller, [], ["WAREHOUSE_*"]) == caller


@pytest.mark.parametrize(
    "name",
    [
        "AIRFLOW__TEAM_A___OPERATORS__DEFAULT_QUEUE",
        "AIRFLOW_CONN__TEAM_A___DB",
        "AIRFLOW_VAR__TEAM_A___LIMIT",
    ],
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
