"""Which variables of a shared component its children get: those of a list, and what their spec passes.

The component holds what lets it speak for everybody: the database's address, the Fernet key, the secret that
signs tokens, the broker. A workload needs none of it, as Airflow hands it everything through its supervisor;
so these reach it by no list and no spec. What else may hold a credential, a spec passes to its environment,
or nobody.
"""

from __future__ import annotations

from envman.resolver.airflow_options import HANDED_ON
from envman.resolver.variables import matches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

SYSTEM = (
    *(
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "HOSTNAME",
        "TERM",
        "TZ",
        "TMPDIR",
        "TMP",
        "TEMP",
        "VIRTUAL_ENV",
    ),
    "LANG",
    "LANGUAGE",
    "LC_*",
    "XDG_*",
    "PYTHON*",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "MALLOC_*",
    "OMP_*",
    "MKL_*",
    "OPENBLAS_*",
    "NUMEXPR_*",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "AWS_CA_BUNDLE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "HTTPLIB2_CA_CERTS",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "NO_COLOR",
    "FORCE_COLOR",
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "KUBERNETES_*",
    "OTEL_*",
    "KRB5CCNAME",
    "KRB5_CONFIG",
    "ENVMAN_ROOT",
    "ENVMAN_ALLOWED_SIGNERS",
)
"""What the machine and its operator set for every program; a `*` at the end stands for any ending."""

PROGRAMS = (
    *SYSTEM,
    *("AIRFLOW_HOME", "AIRFLOW_CONFIG", "AIRFLOW_UID"),
    *("GIT_ASKPASS", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_TERMINAL_PROMPT", "SSH_ASKPASS", "SSH_AUTH_SOCK"),
    *("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"),
)
"""What programs get that a component starts: those of the machine, where Airflow's files are, and how git
reaches its server.
"""

PROGRAMS_GET = "ENVMAN_PROGRAMS_GET"
"""A variable with further names, by spaces; a `*` at the end stands for any ending."""

PREFIX = "AIRFLOW__"
"""How a variable begins that sets an option of Airflow's configuration."""

AIRFLOW = ("AIRFLOW_HOME", "AIRFLOW_CONFIG", "AIRFLOW_CONN_*", "AIRFLOW_VAR_*", "AIRFLOW_UID")
"""Of Airflow's variables, those that are no option of its configuration."""

COMPONENTS_SECTIONS = ("DATABASE", "API_AUTH", "CELERY", "FAB", "KEYCLOAK_AUTH_MANAGER")
"""Sections of Airflow's configuration with secrets of the components; CELERY_... are some of them, too."""

COMPONENTS_OPTIONS = (
    "CORE__FERNET_KEY",
    "CORE__SQL_ALCHEMY_CONN",
    "CORE__INTERNAL_API_SECRET_KEY",
    "API__SECRET_KEY",
    "WEBSERVER__SECRET_KEY",
)
"""Secrets of the components in other sections; with _CMD or _SECRET at their end, too."""

NO_DATABASE = {
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite://",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": "sqlite+aiosqlite://",
}
"""Airflow can't be imported without a database; this one is in memory and empty."""

METADATA_CONNECTION = "AIRFLOW_CONN_AIRFLOW_DB"
"""The database's address as a connection, as the official Helm chart sets it for every pod."""

SWITCHES = {
    "AIRFLOW__CORE__FERNET_KEY": ("", ("AIRFLOW__CORE__FERNET_KEY",)),
    "AIRFLOW__SECRETS__BACKEND": ("", ("AIRFLOW__SECRETS__BACKEND", "AIRFLOW__WORKERS__SECRETS_BACKEND")),
    "AIRFLOW__WORKERS__SECRETS_BACKEND": ("", ("AIRFLOW__WORKERS__SECRETS_BACKEND",)),
    "AIRFLOW__CORE__ASSET_MANAGER_CLASS": (
        "airflow.assets.manager.AssetManager",
        ("AIRFLOW__CORE__ASSET_MANAGER_",),
    ),
    "AIRFLOW__CORE__ASSET_MANAGER_KWARGS": ("{}", ("AIRFLOW__CORE__ASSET_MANAGER_",)),
    "AIRFLOW__LOGGING__REMOTE_LOGGING": (
        "False",
        ("AIRFLOW__LOGGING__REMOTE_", "AIRFLOW__ELASTICSEARCH", "AIRFLOW__OPENSEARCH"),
    ),
    "AIRFLOW__SENTRY__SENTRY_ON": ("False", ("AIRFLOW__SENTRY__",)),
}
"""Options by which something is constructed, as they are where it is not; and how the variables begin that it
is constructed from. The option itself may stand in airflow.cfg, which a workload reads, too: half of a
setting would be another backend than the operator's, or none that works.
"""


def inherited(caller: Mapping[str, str], teams: Collection[str], passed: Iterable[str]) -> dict[str, str]:
    """What a child of a shared component gets of the component's variables.

    `teams` are the teams whose own configuration, connections and variables it may see; `passed` are further
    patterns, by which a component's secret does not pass either.
    """
    patterns = tuple(passed)
    return {
        name: value
        for name, value in caller.items()
        if (_is_usual(name, value) or matches(name, patterns))
        and not is_the_components(name)
        and is_of(name, teams)
    }


def switched_off(caller: Mapping[str, str], given: Collection[str]) -> dict[str, str]:
    """What stands in the place of settings of which a child would have half: `given` are the names of its
    variables.
    """
    return {
        switch: off
        for switch, (off, beginnings) in SWITCHES.items()
        if any(name.startswith(beginnings) and name not in given for name in caller)
    }


def names_a_team(name: str) -> bool:
    """Whether a variable is a team's: AIRFLOW__TEAM___SECTION__KEY, AIRFLOW_CONN__TEAM___ID and such."""
    return _team(name) is not None


def _team(name: str) -> tuple[str, str] | None:
    for prefix in (PREFIX, "AIRFLOW_CONN__", "AIRFLOW_VAR__"):
        if name.startswith(prefix):
            team, separator, rest = name[len(prefix) :].partition("___")
            return (team, rest) if separator else None
    return None


def is_of(name: str, teams: Collection[str]) -> bool:
    """Whether a variable is no team's, or that of one of these."""
    found = _team(name)
    return found is None or found[0].upper() in {team.upper() for team in teams}


def is_kind_of_usual(name: str) -> bool:
    """Whether a variable is an option of Airflow's, or of the machine's: of the kinds that workloads get."""
    return name.startswith(PREFIX) or matches(name, SYSTEM)


def _is_usual(name: str, value: str) -> bool:
    """Whether workloads get a variable without their spec: one of the lists, and no password in it."""
    if name.startswith(PREFIX):
        return option_of(name) in HANDED_ON and not _has_password(value.split("://")[1:])
    if name.startswith("OTEL_"):
        return not name.endswith("_HEADERS") and not _has_password(value.split("://")[1:])
    if name.lower().endswith("_proxy"):  # whose address needs no scheme
        return matches(name, SYSTEM) and not _has_password(value.split("://")[1:] or [value])
    return matches(name, SYSTEM) or matches(name, AIRFLOW)


def _has_password(addresses: Iterable[str]) -> bool:
    """Whether one of the addresses, which begin behind their scheme, has `user:password@` (RFC 3986, 3.2)."""
    return any(":" in _authority(address).rpartition("@")[0] for address in addresses)


def _authority(address: str) -> str:
    """What stands before an address's path. Its query ends it, too, if it comes behind a port.

    Else it may be a password's: `user:pa?ss@host` is no address by the RFC, and a secret all the same.
    """
    before, _, query = address.partition("/")[0].partition("?")
    host_and_port = before.rpartition(":")
    return before if host_and_port[2].isdigit() or not host_and_port[1] else f"{before}?{query}"


def option_of(name: str) -> str:
    """The option that a variable AIRFLOW__SECTION__KEY sets, of a team or not: SECTION__KEY; of another
    variable its name.
    """
    found = _team(name)
    return found[1] if found else name.removeprefix(PREFIX)


def is_the_components(name: str) -> bool:
    """Whether a variable is one that no workload gets, whatever a spec passes on."""
    name = name.upper()
    if name.startswith("_AIRFLOW_") or name == METADATA_CONNECTION:
        return True
    if not name.startswith(PREFIX):
        return False
    option = option_of(name)
    section = option.partition("__")[0]
    if section in COMPONENTS_SECTIONS or section.startswith("CELERY_"):
        return True
    return any(option in {secret, f"{secret}_CMD", f"{secret}_SECRET"} for secret in COMPONENTS_OPTIONS)
