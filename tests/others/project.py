"""A project of envman for a comparison: the components' environment, and one that holds what the Dags import."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.e2e.airflow import DROPPED, AirflowDeployment
from tests.e2e.conftest import LOCAL_BUNDLE
from tests.e2e.kinds import envman
from tests.others.rows import Rows, read_rows

PYTHON = "3.12"
COMPONENTS = ("apache-airflow-core", "apache-airflow-providers-standard", "apache-airflow-providers-git")
"""What a deployment's own environment has at least."""

HOURS = 3600.0

SAME = {
    "PYTHONHASHSEED": "7",
    "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "600",
    "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "900",
    "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
}
"""Variables of both Dag processors: the same order of sets, and time for large packages on a busy machine."""

OF_THE_MACHINE = ("HOME", "LANG", "PATH", "TMPDIR", "USER")
"""Variables that both get. A Dag that reads another one would be another in each: workloads don't get all that the
shared component has."""

ONCE = ("--num-runs", "1")


class Project:
    """The components' environment and `others`, in which all bundles are parsed; they may be one."""

    def __init__(
        self, folder: Path, version: str, bundles: Mapping[str, Path], components: str = "core"
    ) -> None:
        self.folder = folder
        self.root = folder / "venv"
        self._version = version
        self._bundles = bundles
        self._components = components
        self._migrated: AirflowDeployment | None = None

    def build(self, requirements: Iterable[str]) -> None:
        """Lock and build; what is up to date is kept."""
        lines = [
            'root = "venv"',
            f'airflow-version = "{self._version}"',
            f'airflow-environment = "{self._components}"',
            "[bundles]",
            *(f'{bundle} = {{ environment = "others" }}' for bundle in self._bundles),
        ]
        self._write("envman.toml", lines)
        pre = ['prerelease = "allow"'] if re.search("[a-z]", self._version) else []
        self._write("uv.toml", pre)
        for environment, added in {self._components: (), "others": tuple(requirements)}.items():
            listed = json.dumps([*COMPONENTS, *added])
            file = f"environments/{environment}.toml"
            self._write(file, [f'requires-python = "=={PYTHON}.*"', f"dependencies = {listed}"])
        for command in ("lock", "build"):
            subprocess.run(envman(command), cwd=self.folder, env=clean(), stdout=sys.stderr, check=True)

    def _write(self, path: str, lines: Sequence[str]) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{line}\n" for line in lines))

    def stock(self, home: Path) -> Rows:
        """Parse all bundles by the stock Dag processor, in the environment `others` itself."""
        airflow = self._deploy(home, "others")
        return self._parse(airflow, f"{airflow.stock}/airflow", "dag-processor", *ONCE)

    def shared(self, home: Path) -> Rows:
        """Parse them by envman's shared Dag processor."""
        airflow = self._deploy(home, self._components)
        return self._parse(airflow, *envman("launch", "dag-processor", "--", *ONCE))

    def _deploy(self, home: Path, environment: str) -> AirflowDeployment:
        listed: list[dict[str, object]] = [
            {"name": name, "classpath": LOCAL_BUNDLE, "kwargs": {"path": str(folder)}}
            for name, folder in self._bundles.items()
        ]
        given = {**SAME, "ENVMAN_ROOT": str(self.root)}
        made = AirflowDeployment(home, self.root / environment / "bin", listed, given)
        made.environ = {
            name: value
            for name, value in made.environ.items()
            if name in OF_THE_MACHINE or name.startswith(("AIRFLOW", "ENVMAN", "PYTHON"))
        }
        if self._migrated:
            made.take_over(self._migrated)
        else:
            made.migrate()
            self._migrated = AirflowDeployment(home.with_name("migrated"), made.stock, [], {})
            self._migrated.take_over(made)
        return made

    def _parse(self, airflow: AirflowDeployment, *command: str) -> Rows:
        with airflow:
            finished = airflow.run(*command, timeout=HOURS)
            output = finished.stdout + finished.stderr
            (airflow.home / "output").write_text(output)
            assert finished.returncode == 0, output[-5000:]
        return read_rows(airflow.home)


def clean(*more: str) -> dict[str, str]:
    """The variables without those that would change what is compared; `more` are beginnings of names."""
    return {key: value for key, value in os.environ.items() if not key.startswith((*DROPPED, *more))}
