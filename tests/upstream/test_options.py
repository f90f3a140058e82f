"""Each option of each supported Airflow and its providers is decided about: whether workloads get it.

By their own descriptions, read as text: config.yml, the defaults for providers that are not there, and what
providers say of themselves. An option that is new fails here until somebody has looked what reads it.
"""

from __future__ import annotations

import ast
import configparser
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from envman.deployment.unread_options import UNREAD, is_unread
from envman.launch.airflow_configuration import VARIABLE as BUNDLES
from envman.launch.narrowed_options import COORDINATORS
from envman.resolver.airflow_options import HANDED_ON, variable_of
from envman.resolver.inherited import option_of
from tests.upstream.sources import PROVIDERS, VERSIONS, fetch, unpack

pytestmark = pytest.mark.registry

REMEDY = (
    "Look what reads it in a parse, a task, a callback or a runner of triggers. Then name it in "
    "envman/resolver/airflow_options.py; or, where nothing does, in envman/deployment/unread_options.py; or, "
    "where it may hold a credential, in WITHHELD."
)

WITHHELD = {
    # what workloads read, too, and what may hold a credential, with what is nothing without that
    *("ATLAS__HOST", "ATLAS__PASSWORD", "ATLAS__PORT", "ATLAS__SASL_ENABLED", "ATLAS__USERNAME"),
    *("OPENLINEAGE__TRANSPORT", "SECRETS__BACKEND", "SECRETS__BACKEND_KWARGS", "SENTRY__BEFORE_SEND"),
    *("SENTRY__SENTRY_DSN", "SENTRY__SENTRY_ON", "WORKERS__SECRETS_BACKEND"),
    "WORKERS__SECRETS_BACKEND_KWARGS",
}
NARROWED = {option_of(BUNDLES), option_of(COORDINATORS)}

UNDESCRIBED = {
    # read by Airflow or its providers without a description, or by an older name
    *("CORE__DBAPIHOOK_RESOLVE_TARGET_FIELDS", "CORE__ENABLE_XCOM_PICKLING", "WEBSERVER__BASE_URL"),
    *("WORKERS__API_RETRIES", "WORKERS__API_RETRY_WAIT_MAX", "WORKERS__API_RETRY_WAIT_MIN"),
    "WORKERS__MISSING_DAG_RETIRES",
}

Options = dict[str, bool]
"""Options, SECTION__KEY, and whether each is sensitive."""


def described(sections: Mapping[str, Any]) -> Options:
    return {
        variable_of(section, option): bool(of.get("sensitive"))
        for section, content in sections.items()
        for option, of in (content.get("options") or {}).items()
    }


def of_core(folder: Path) -> Options:
    templates = folder / "airflow/config_templates"
    found = described(yaml.safe_load((templates / "config.yml").read_text(encoding="utf-8")))
    parser = configparser.RawConfigParser()
    parser.read(templates / "provider_config_fallback_defaults.cfg", encoding="utf-8")
    defaults = {variable_of(section, option) for section in parser.sections() for option in parser[section]}
    return dict.fromkeys(defaults, False) | found


def of_provider(path: Path) -> Options:
    """What a module get_provider_info.py returns, whose only statement is that."""
    (value,) = (node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Return))
    assert value
    return described(ast.literal_eval(value).get("config") or {})


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The source of each version."""
    folder = tmp_path_factory.mktemp("options")
    for version in VERSIONS:
        fetch(version, folder / version)
    return {version: folder / version for version in VERSIONS}


@pytest.fixture(scope="module")
def options(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Options]:
    """All options of each version and of each provider."""
    requirements = [f"apache-airflow-providers-{one}" for one in PROVIDERS]
    folder = unpack(requirements, tmp_path_factory.mktemp("providers") / "all")
    found = {f"Airflow {version}": of_core(folder) for version, folder in folders.items()}
    for path in folder.rglob("get_provider_info.py"):
        found[path.parent.relative_to(folder / "airflow/providers").as_posix()] = of_provider(path)
    assert len(found) == len(VERSIONS) + len(PROVIDERS)
    assert all(found.values())
    return found


def undecided(options: Options) -> list[str]:
    """Those of which nobody has said what becomes of them, or two have."""
    return [
        option
        for option in options
        if [option in HANDED_ON, option in WITHHELD, option in NARROWED, is_unread(option)].count(True) != 1
    ]


def leaking(options: Options) -> list[str]:
    """Those that are sensitive, and handed on."""
    return [option for option, sensitive in options.items() if sensitive and option in HANDED_ON]


def test_each_option_is_decided_about_once(options: dict[str, Options]) -> None:
    found = {name: undecided(described) for name, described in options.items()}
    assert not any(found.values()), f"{found}\n{REMEDY}"


def test_nothing_sensitive_is_handed_on(options: dict[str, Options]) -> None:
    found = {name: leaking(described) for name, described in options.items()}
    assert not any(found.values()), found
    assert {name for name, described in options.items() if any(described.values())} >= {
        *(f"Airflow {version}" for version in VERSIONS),
        *("celery", "keycloak", "opensearch"),
    }


def test_what_was_decided_about_is_there(options: dict[str, Options]) -> None:
    """An option that no Airflow has any more is a leftover."""
    there = {option for described in options.values() for option in described}
    assert UNDESCRIBED - there == UNDESCRIBED
    named = {option for option in UNREAD if not option.endswith("__*")}
    assert (HANDED_ON | named | WITHHELD | NARROWED) - there == UNDESCRIBED
    sections = {option.partition("__")[0] for option in there}
    assert {option.removesuffix("__*") for option in UNREAD if option.endswith("__*")} - sections == set()


CREDENTIALS = {
    *("credential", "credentials", "dsn", "extra", "key", "kwargs", "password", "passwords", "secret"),
    *("token", "transport", "uri", "url", "user", "username"),
}
NONE_OF_THEM = {
    "LOGGING__MIN_LENGTH_MASKED_SECRET",  # a number
    # what is in them is looked at, too: one with a password is not handed on
    *("API__BASE_URL", "WEBSERVER__BASE_URL"),
}


def test_no_name_that_is_handed_on_speaks_of_a_credential() -> None:
    """A description forgets to say `sensitive`, at times."""
    speaking = {one for one in HANDED_ON if one.rpartition("_")[2].lower() in CREDENTIALS}
    assert speaking == NONE_OF_THEM


def test_a_new_option_or_one_that_becomes_sensitive_is_found() -> None:
    new = {"core": {"options": {"dags_folder": {}, "new": {}}}, "companys": {"options": {"token": {}}}}
    assert undecided(described(new)) == ["CORE__NEW", "COMPANYS__TOKEN"]
    sensitive = {"core": {"options": {"dags_folder": {"sensitive": True}}}, "common.io": {"options": None}}
    assert leaking(described(sensitive)) == ["CORE__DAGS_FOLDER"]


SUPERVISORS = (
    "api/client.py",
    "coordinators",
    "execution_time/coordinator.py",
    "execution_time/supervisor.py",
)
"""Parts of the task SDK that run in components."""

NOT_NEEDED = {
    # read, and of no use: the Fernet key is the components', there is no database, supervisors write the logs
    *("CORE__FERNET_KEY", "DATABASE__SQL_ALCHEMY_CONN", "LOGGING__REMOTE_BASE_LOG_FOLDER"),
    *("LOGGING__REMOTE_LOGGING", "LOGGING__REMOTE_LOG_CONN_ID"),
    "CALLBACKS__CALLBACK_EXECUTION_TIMEOUT",  # of a supervisor, beside what a callback runs
}


def asked(path: Path) -> Iterator[str]:
    """The options that a module asks of `conf`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            given = [*node.args, *(one.value for one in node.keywords if one.arg in {"section", "key"})]
            words = [one.value for one in given[:2] if isinstance(one, ast.Constant)]
            if ast.unparse(node.func.value).endswith("conf") and len(words) == 2:
                yield variable_of(str(words[0]), str(words[1]))


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_tasks_process_asks_for_is_handed_on(folders: dict[str, Path], version: str) -> None:
    sdk = folders[version] / "airflow/sdk"
    modules = [
        path for path in sdk.rglob("*.py") if not path.relative_to(sdk).as_posix().startswith(SUPERVISORS)
    ]
    found = {option for path in modules for option in asked(path)}
    assert len(found) > 50
    assert {option for option in found if is_unread(option)} - NOT_NEEDED == set()
