"""Tell what a live Airflow consists of, for `envman adopt`: nothing of it is imported, run or changed.

    python -I -B run.py adoption_probe '{"options": [["core", "executor"]], "beside": []}'

It reads what is installed beside the interpreter that runs it, Airflow's configuration, and the folders that
this names. The request is an AdoptionRequest, the answer an AdoptionReport. Python 3.8 and newer.
"""

from __future__ import annotations

import json
import os
import platform
import site
import sys
import sysconfig
from importlib.metadata import Distribution, distributions
from typing import TYPE_CHECKING, Any

from envman.inside import adoption_folders, adoption_settings
from envman.inside.answer import answer

if TYPE_CHECKING:
    from envman.inside.reports import AdoptionReport, AdoptionRequest, DistributionReport, PythonReport

GROUPS = {"apache_airflow_provider", "airflow.plugins", "airflow.policy"}

MOST = 20_000
"""Distributions that are told: more than anybody has."""


def main(words: list[str]) -> None:
    """Answer the request."""
    answer(lambda request: _sayable(report(request)), words)


def report(request: AdoptionRequest) -> AdoptionReport:
    """What is installed here, how it is configured, and what stands in the folders of its Dags."""
    settings = adoption_settings.Settings(os.environ)
    told, withheld = settings.told([(section, option) for section, option in request["options"]])
    bundles = settings.bundles()
    folders = [bundle["path"] for bundle in bundles if bundle["path"]]
    installed = _installed()
    plugins = settings.path("core", "plugins_folder") or os.path.join(settings.home, "plugins")
    searched = [os.path.join(settings.home, "config"), plugins, *folders, *_python_path()]
    return {
        "python": _python(),
        "distributions": installed,
        "home": settings.home,
        "configuration": settings.file if os.path.exists(settings.file) else "",
        "problem": settings.problem,
        "settings": told,
        "withheld": withheld,
        "bundles": bundles,
        "examples": _examples(installed) if settings.is_on("core", "load_examples", otherwise=True) else [],
        "folders": [adoption_folders.look(folder) for folder in dict.fromkeys(folders)],
        "plugins_folder": plugins,
        "plugins": adoption_folders.modules_in(plugins),
        "local_settings": adoption_folders.local_settings(searched),
        "requirements": adoption_folders.requirements_in([settings.home, *folders, *request["beside"]]),
        "python_path": _python_path(),
        "pip_configuration": _pip_configuration(),
    }


def _sayable(value: Any) -> Any:
    """The answer with what is no text replaced: names of files may be any bytes."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_sayable(item) for item in value]
    if isinstance(value, dict):
        return {_sayable(key): _sayable(item) for key, item in value.items()}
    return value


def _python() -> PythonReport:
    """The interpreter, and what markers (PEP 508) compare with."""
    return {
        "executable": sys.executable or "",
        "base": os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable or ""),
        "prefix": sys.prefix,
        "platform": sysconfig.get_platform(),
        "markers": {
            "implementation_name": sys.implementation.name,
            "implementation_version": _version(sys.implementation.version),
            "os_name": os.name,
            "platform_machine": platform.machine(),
            "platform_python_implementation": platform.python_implementation(),
            "platform_release": platform.release(),
            "platform_system": platform.system(),
            "platform_version": platform.version(),
            "python_full_version": _version(sys.version_info),
            "python_version": ".".join(platform.python_version_tuple()[:2]),
            "sys_platform": sys.platform,
        },
    }


def _version(info: Any) -> str:
    """A version as markers have it: 3.12.1, 3.14.0b2."""
    level = (
        "" if info[3] == "final" else "{}{}".format("rc" if info[3] == "candidate" else info[3][0], info[4])
    )
    return ".".join(str(number) for number in info[:3]) + level


def _python_path() -> list[str]:
    """The folders of PYTHONPATH, which the live Airflow has on its path, and this process doesn't."""
    return [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]


def _installed() -> list[DistributionReport]:
    """All distributions that the live interpreter finds, the first of each name: it is what is imported."""
    found: dict[str, DistributionReport] = {}
    for one in distributions(path=[*sys.path, *_user_site()]):
        told = _distribution(one)
        if told is not None and len(found) < MOST:
            found.setdefault(told["name"].lower().replace("_", "-").replace(".", "-"), told)
    return list(found.values())


def _examples(installed: list[DistributionReport]) -> list[str]:
    """The bundles with example Dags that Airflow adds to those of its configuration, as it names them."""
    found = []
    for one in installed:
        name, begin = one["name"], "apache-airflow-providers-"
        if name == "apache-airflow-core" and os.path.isdir(
            os.path.join(one["folder"], "airflow/example_dags")
        ):
            found.append("example_dags")
        below = name[len(begin) :].replace("-", "/") if name.startswith(begin) else ""
        if below and os.path.isdir(os.path.join(one["folder"], "airflow/providers", below, "example_dags")):
            found.append(f"{name}-example-dags")
    return sorted(found)


def _user_site() -> list[str]:
    """The user's folder of packages, which an isolated interpreter leaves out, where the live one has it."""
    is_virtual = sys.prefix != sys.base_prefix
    folder = site.getusersitepackages()
    return [] if is_virtual or not os.path.isdir(folder) else [folder]


def _distribution(one: Distribution) -> DistributionReport | None:
    try:
        metadata: Any = one.metadata  # a message of an email, whatever the Python
        name, version = metadata["Name"], metadata["Version"]
        if not name:
            return None
        direct = _direct_url(one)
        is_egg_link = one.read_text("WHEEL") is None and one.read_text("RECORD") is None
        return {
            "name": str(name),
            "version": str(version or ""),
            "requires": [str(line) for line in one.requires or ()],
            "requires_python": str(metadata.get("Requires-Python") or ""),
            "folder": str(one.locate_file("")),
            "installer": (one.read_text("INSTALLER") or "").strip(),
            "has_record": one.read_text("RECORD") is not None,
            "origin": adoption_settings.shown(str(direct.get("url") or "")),
            "commit": _text_of(direct.get("vcs_info"), "commit_id"),
            "provides": _airflows_groups(one.read_text("entry_points.txt") or ""),
            "editable": _is_on(direct.get("dir_info"), "editable")
            or (is_egg_link and _is_source(str(one.locate_file("")))),
        }
    except Exception:  # noqa: BLE001  # metadata is strangers', and may be anything
        return None


def _airflows_groups(text: str) -> list[str]:
    """The groups of entry points by which a distribution is a provider, a plugin or a policy."""
    lines = (line.strip() for line in text.splitlines())
    groups = {line[1:-1].strip() for line in lines if line.startswith("[") and line.endswith("]")}
    return sorted(groups & GROUPS)


def _is_source(folder: str) -> bool:
    """Whether a folder with packages is that of a project: what `setup.py develop` leads to."""
    return os.path.isfile(os.path.join(folder, "setup.py")) or os.path.isfile(
        os.path.join(folder, "pyproject.toml")
    )


def _direct_url(one: Distribution) -> dict[str, Any]:
    """Where it was installed from, if that was no index (PEP 610)."""
    text = one.read_text("direct_url.json")
    if text is None:
        return {}
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        read = None
    return read if isinstance(read, dict) else {"url": "direct_url.json can't be read"}


def _text_of(table: Any, key: str) -> str:
    return str(table.get(key) or "") if isinstance(table, dict) else ""


def _is_on(table: Any, key: str) -> bool:
    return isinstance(table, dict) and table.get(key) is True


def _pip_configuration() -> list[str]:
    """Files and variables that tell pip about indexes: their places, as their contents may be secrets."""
    home = os.path.expanduser("~")
    files = [
        "/etc/pip.conf",
        f"{home}/.pip/pip.conf",
        f"{home}/.config/pip/pip.conf",
        f"{sys.prefix}/pip.conf",
    ]
    variables = (
        "PIP_INDEX_URL",
        "PIP_EXTRA_INDEX_URL",
        "PIP_CONFIG_FILE",
        "UV_INDEX_URL",
        "UV_DEFAULT_INDEX",
    )
    found = [file for file in files if os.path.isfile(file)]
    return [*found, *(name for name in variables if os.environ.get(name))]
