"""The main job: two bundles that conflict, each parsed by the real Airflow in its own interpreter.

It does what a deployment does: check the locks, build the environments, and start one Dag processor for each
bundle through `envman exec`, on Airflow's default database. Every step is a command that is shown.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from packaging.version import Version
from rich.console import Console
from rich.table import Table

from envman.interpreters import discover

PROJECT = Path(__file__).resolve().parent.parent
AIRFLOW_HOME = PROJECT / ".airflow"
BUNDLES = ("bundle_a", "bundle_b")
PANDAS_1_BELOW = Version("3.12")


@dataclass(frozen=True)
class Parsed:
    """What one bundle's Dag processor left in Airflow's database."""

    bundle: str
    environment: str
    interpreter: str
    pandas: str
    dags: int
    seconds: float


class MainJob:
    """Runs the commands and shows them."""

    def __init__(self, console: Console) -> None:
        self._console = console
        listed = [
            {
                "name": bundle,
                "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
                "kwargs": {"path": str(PROJECT / "bundles" / bundle)},
            }
            for bundle in BUNDLES
        ]
        dropped = ("AIRFLOW", "ENVMAN", "PYTHON", "VIRTUAL_ENV")
        self._variables = {key: value for key, value in os.environ.items() if not key.startswith(dropped)} | {
            "AIRFLOW_HOME": str(AIRFLOW_HOME),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(listed),
        }

    def run(self) -> list[Parsed]:
        """Lock check, build, migrate, one Dag processor for each bundle."""
        shutil.rmtree(AIRFLOW_HOME, ignore_errors=True)
        AIRFLOW_HOME.mkdir()
        self._envman("lock", "--check")
        self._envman("build", "env_a")
        self._envman("build", "env_b", *self._other_python())
        self._envman("exec", "--environment", "env_a", "--", "airflow", "db", "migrate", quiet=True)
        return [self._parse(bundle) for bundle in BUNDLES]

    def _other_python(self) -> list[str]:
        """For env_b a Python that pandas 1.5 runs on if the machine has one, else any but env_a's."""
        minors = {
            Version(".".join(found.version.split(".")[:2]))
            for found in discover(None, os.environ).found
            if Version("3.10") <= Version(found.version) < Version("3.15")
        }
        others = sorted(minors, reverse=True)[1:]
        older = [minor for minor in others if minor < PANDAS_1_BELOW]
        chosen = (older or others)[:1]
        return ["--python", str(chosen[0])] if chosen else []

    def _parse(self, bundle: str) -> Parsed:
        started = time.monotonic()
        command = ["airflow", "dag-processor", "--bundle-name", bundle, "--num-runs", "1"]
        self._envman("exec", "--bundle", bundle, "--", *command, quiet=True)
        seconds = time.monotonic() - started
        answer = json.loads(self._capture("resolve", "--bundle", bundle, "--json"))["result"]
        dags, tags, errors = parsed_dags(bundle)
        if errors or not dags:
            raise SystemExit(f"{bundle}: {len(dags)} Dags, import errors: {errors or 'none'}")
        pandas = next(tag.split()[1] for tag in tags if tag.startswith("pandas "))
        python = next(tag.split()[1] for tag in tags if tag.startswith("python "))
        if f" {python}." not in answer["interpreter"]:
            raise SystemExit(f"{bundle} was parsed by Python {python}, not by {answer['interpreter']}")
        return Parsed(bundle, answer["environment"], answer["interpreter"], pandas, len(dags), seconds)

    def _envman(self, *arguments: str, quiet: bool = False) -> None:
        """Run a command; `quiet` keeps Airflow's own log out of sight unless it fails."""
        self._console.print(f"[bold green]$[/] envman {shlex.join(arguments)}", highlight=False)
        finished = subprocess.run(
            [sys.executable, "-m", "envman", *arguments],
            cwd=PROJECT,
            env=self._variables,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if quiet else None,
            check=False,
        )
        if finished.stdout and (finished.returncode or not quiet):
            self._console.print(finished.stdout.rstrip(), highlight=False, markup=False)
        if finished.returncode:
            raise SystemExit(finished.returncode)

    def _capture(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "envman", *arguments]
        return subprocess.run(
            command, cwd=PROJECT, env=self._variables, text=True, stdout=subprocess.PIPE, check=True
        ).stdout


def parsed_dags(bundle: str) -> tuple[list[str], list[str], list[str]]:
    """A bundle's Dags, their tags, and its import errors, from Airflow's database."""
    with sqlite3.connect(AIRFLOW_HOME / "airflow.db") as database:
        dags = [row[0] for row in database.execute("select dag_id from dag where bundle_name = ?", (bundle,))]
        tags = database.execute(
            "select t.name from dag_tag t join dag d on d.dag_id = t.dag_id where d.bundle_name = ?",
            (bundle,),
        )
        errors = database.execute("select stacktrace from import_error where bundle_name = ?", (bundle,))
        return dags, [row[0] for row in tags], [row[0].splitlines()[-1] for row in errors]


def show(console: Console, rows: list[Parsed]) -> None:
    """The table at the end."""
    table = Table(title="Two bundles, one Airflow", title_justify="left")
    for column in ("bundle", "environment", "interpreter", "pandas", "Dags", "time"):
        table.add_column(column, justify="right" if column in {"Dags", "time"} else "left")
    for row in rows:
        cells = (row.bundle, row.environment, row.interpreter, row.pandas, str(row.dags))
        table.add_row(*cells, f"{row.seconds:.1f} s")
    console.print(table)


def main() -> None:
    """Run the job; `--json` writes the rows instead of the table, `--picture FILE` the terminal as SVG."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    console = Console(
        record=bool(options.picture), stderr=options.json, width=100 if options.picture else None
    )
    rows = MainJob(console).run()
    if options.json:
        sys.stdout.write(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    else:
        show(console, rows)
    if options.picture:
        svg = console.export_svg(title="envman: one Airflow, many interpreters")
        options.picture.parent.mkdir(parents=True, exist_ok=True)
        options.picture.write_text(re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    main()
