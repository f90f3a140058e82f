"""Answers of the probe, as tests need them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MARKERS = {
    "implementation_name": "cpython",
    "implementation_version": "3.12.4",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_release": "6.1",
    "platform_system": "Linux",
    "platform_version": "#1",
    "python_full_version": "3.12.4",
    "python_version": "3.12",
    "sys_platform": "linux",
}


def distribution(name: str, version: str, *requires: str, **more: Any) -> dict[str, Any]:
    """An installed distribution."""
    return {
        "name": name,
        "version": version,
        "requires": list(requires),
        "requires_python": "",
        "folder": "/opt/airflow/lib/python3.12/site-packages",
        "installer": "pip",
        "has_record": True,
        "origin": "",
        "commit": "",
        "provides": [],
        "editable": False,
        **more,
    }


def bundle(name: str, **more: Any) -> dict[str, Any]:
    """A bundle of Airflow's list."""
    return {
        "name": name,
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "path": f"/dags/{name}",
        "arguments": {},
        "withheld": [],
        "team": "",
        "place": "airflow.cfg",
        **more,
    }


def answer(
    distributions: Sequence[Mapping[str, Any]] = (), markers: Mapping[str, str] | None = None, **more: Any
) -> dict[str, Any]:
    """A whole answer."""
    return {
        "python": {
            "executable": "/opt/airflow/bin/python",
            "base": "/usr/bin/python3.12",
            "prefix": "/opt/airflow",
            "platform": "linux-x86_64",
            "markers": {**MARKERS, **(markers or {})},
        },
        "distributions": [*distributions],
        "home": "/var/lib/airflow",
        "configuration": "/var/lib/airflow/airflow.cfg",
        "problem": "",
        "settings": [],
        "withheld": [],
        "bundles": [bundle("dags-folder")],
        "examples": [],
        "folders": [],
        "plugins_folder": "/var/lib/airflow/plugins",
        "plugins": [],
        "local_settings": [],
        "requirements": [],
        "python_path": [],
        "pip_configuration": [],
        **more,
    }
