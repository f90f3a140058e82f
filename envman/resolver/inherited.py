"""Which variables of a shared component its children get: those of a list, and no secret of the component's.

The component holds what lets it speak for everybody: the database's address, the Fernet key, the secret that
signs tokens, the broker. A workload needs none of it, as Airflow hands it everything through its supervisor.
"""

from __future__ import annotations

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
)
"""What the machine and its operator set for every program; a `*` at the end stands for any ending."""

AIRFLOW = ("AIRFLOW_HOME", "AIRFLOW_CONFIG", "AIRFLOW__*", "AIRFLOW_CONN_*", "AIRFLOW_VAR_*", "AIRFLOW_UID")

COMPONENTS_SECTIONS = ("DATABASE", "API_AUTH", "CELERY", "FAB")
"""Sections of Airflow's configuration that no workload reads; CELERY_... are some of them, too."""

COMPONENTS_OPTIONS = (
    "CORE__FERNET_KEY",
    "CORE__SQL_ALCHEMY_CONN",
    "CORE__INTERNAL_API_SECRET_KEY",
    "API__SECRET_KEY",
    "WEBSERVER__SECRET_KEY",
    "LOGGING__REMOTE_TASK_HANDLER_KWARGS",
)
"""Options of the other sections that only components read; with _CMD or _SECRET at their end, too."""


def inherited(caller: Mapping[str, str], teams: Collection[str], passed: Iterable[str]) -> dict[str, str]:
    """What a child of a shared component gets of the component's variables.

    `teams` are the teams whose own configuration, connections and variables it may see; `passed` are further
    patterns, by which a component's secret does not pass either.
    """
    patterns = (*SYSTEM, *AIRFLOW, *passed)
    upper = tuple(team.upper() for team in teams)
    return {
        name: value
        for name, value in caller.items()
        if matches(name, patterns) and not is_the_components(name) and _is_of(name, upper)
    }


def names_a_team(name: str) -> bool:
    """Whether a variable is a team's: AIRFLOW__TEAM___SECTION__KEY, AIRFLOW_CONN__TEAM___ID and such."""
    return _team(name) is not None


def _team(name: str) -> tuple[str, str] | None:
    for prefix in ("AIRFLOW__", "AIRFLOW_CONN__", "AIRFLOW_VAR__"):
        if name.startswith(prefix):
            team, separator, rest = name[len(prefix) :].partition("___")
            return (team, rest) if separator else None
    return None


def _is_of(name: str, teams: tuple[str, ...]) -> bool:
    found = _team(name)
    return found is None or found[0].upper() in teams


def is_the_components(name: str) -> bool:
    """Whether a variable is one that no workload gets, whatever a spec passes on."""
    if name.startswith("_AIRFLOW_"):
        return True
    if not name.startswith("AIRFLOW__"):
        return False
    team = _team(name)
    option = team[1] if team else name[len("AIRFLOW__") :]
    section = option.partition("__")[0]
    if section in COMPONENTS_SECTIONS or section.startswith("CELERY_"):
        return True
    return any(option in {secret, f"{secret}_CMD", f"{secret}_SECRET"} for secret in COMPONENTS_OPTIONS)
