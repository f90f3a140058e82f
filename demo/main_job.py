"""The main job: one Airflow, two bundles that conflict, each parsed and run in its own interpreter.

It does what a deployment does: check the locks, build the environments, start one shared Dag processor and
one scheduler with LocalExecutor through `envman launch`, and run a task of each bundle. Every step is a
command that is shown; the database is Airflow's default one.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from packaging.version import Version
from rich.console import Console
from rich.table import Table

from envman.build.interpreters import discover

PROJECT = Path(__file__).resolve().parent.parent
AIRFLOW_HOME = PROJECT / ".airflow"
RUN = {"bundle_a": "sales", "bundle_b": "ledger"}
"""Of each bundle, the Dag whose task is run."""

PANDAS_1_BELOW = Version("3.12")
PATIENCE = 180.0


@dataclass(frozen=True)
class Done:
    """What one bundle's parse and task left in Airflow's database; `seconds` of the parse."""

    bundle: str
    environment: str
    interpreter: str
    pandas: str
    dags: int
    seconds: float
    task: str


class MainJob:
    """Runs the commands and shows them."""

    def __init__(self, console: Console) -> None:
        self._console = console
        dropped = ("AIRFLOW", "ENVMAN", "PYTHON", "VIRTUAL_ENV")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
        self._variables = kept | settings()

    def run(self) -> list[Done]:
        """Lock check, build, migrate, one Dag processor, one scheduler, a task of each bundle."""
        shutil.rmtree(AIRFLOW_HOME, ignore_errors=True)
        AIRFLOW_HOME.mkdir()
        self._envman("lock", "--check")
        self._envman("build", "env_a")
        self._envman("build", "env_b", *self._other_python())
        self._airflow("db", "migrate")
        self._envman("launch", "dag-processor", "--", "--num-runs", "1", quiet="  ")
        self._complain_about_imports()
        with self._component("exec", "--environment", "env_a", "--", "airflow", "api-server"):
            wait_for_port(int(self._variables["AIRFLOW__API__PORT"]))
            with self._component("launch", "scheduler"):
                for dag in RUN.values():
                    self._airflow("dags", "trigger", dag)
                return [self._done(bundle, dag) for bundle, dag in RUN.items()]

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

    def _done(self, bundle: str, dag: str) -> Done:
        """Wait for the bundle's run, and compare who parsed and who ran it with the bundle's environment."""
        answer = json.loads(self._capture("resolve", "--bundle", bundle, "--json"))["result"]
        count, tags, seconds = parsed(bundle)
        returned = wait_for_task(dag)
        parser = {word: tag.split()[1] for tag in tags for word in [tag.split()[0]]}
        if answer["interpreter"] != f"CPython {returned['python']}" or returned["pandas"] != parser["pandas"]:
            raise SystemExit(
                f"{bundle}: parsed by {tags}, run by {returned}, but its environment is {answer}"
            )
        environment, interpreter = answer["environment"], answer["interpreter"]
        return Done(bundle, environment, interpreter, parser["pandas"], count, seconds, dag)

    def _complain_about_imports(self) -> None:
        if errors := query("select filename, stacktrace from import_error"):
            raise SystemExit("\n".join(f"{file}: {text}" for file, text in errors))

    def _airflow(self, *words: str) -> None:
        self._envman("exec", "--environment", "env_a", "--", "airflow", *words, quiet="-")

    @contextmanager
    def _component(self, *arguments: str) -> Iterator[None]:
        """A component of Airflow's in the background, as long as this lasts."""
        self._show(f"envman {shlex.join(arguments)} &")
        with (AIRFLOW_HOME / "components.log").open("ab") as log:
            command = [sys.executable, "-m", "envman", *arguments]
            process = subprocess.Popen(command, cwd=PROJECT, env=self._variables, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()

    def _envman(self, *arguments: str, quiet: str = "") -> None:
        """Run a command; `quiet` keeps Airflow's own log out of sight but for lines that begin so."""
        self._show(f"envman {shlex.join(arguments)}")
        finished = subprocess.run(
            [sys.executable, "-m", "envman", *arguments],
            cwd=PROJECT,
            env=self._variables,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if quiet else None,
            check=False,
        )
        lines = finished.stdout.rstrip().split("\n") if finished.stdout.strip() else []
        if quiet and not finished.returncode:
            shown = ("envman launch", f"{quiet}bundle")
            lines = [line.replace(f"{PROJECT}/", "") for line in lines if line.startswith(shown)][:4]
        if lines:
            self._console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
        if finished.returncode:
            raise SystemExit(finished.returncode)

    def _show(self, command: str) -> None:
        self._console.print(f"[bold green]$[/] {command}", highlight=False)

    def _capture(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "envman", *arguments]
        return subprocess.run(
            command, cwd=PROJECT, env=self._variables, text=True, stdout=subprocess.PIPE, check=True
        ).stdout


def settings() -> dict[str, str]:
    """Airflow's configuration: two bundles, LocalExecutor, an API server on a free port of loopback."""
    bundles = [
        {
            "name": bundle,
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(PROJECT / "bundles" / bundle)},
        }
        for bundle in RUN
    ]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return {
        "AIRFLOW_HOME": str(AIRFLOW_HOME),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(64),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": str(PATIENCE),  # 5 s are too few on a busy machine
    }


def wait_for_port(port: int) -> None:
    """Wait until the API server answers: a task that starts before fails."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > until:
                log = (AIRFLOW_HOME / "components.log").read_text()
                raise SystemExit(f"the API server does not answer\n{log[-4000:]}") from None
            time.sleep(0.3)


def query(text: str, *values: str) -> list[tuple[str, ...]]:
    """Rows of Airflow's database."""
    with sqlite3.connect(AIRFLOW_HOME / "airflow.db", timeout=30) as database:
        return database.execute(text, values).fetchall()


def parsed(bundle: str) -> tuple[int, list[str], float]:
    """How many Dags a bundle has, their tags, and how long the parse of its files took."""
    dags = query("select relative_fileloc, last_parse_duration from dag where bundle_name = ?", bundle)
    rows = query("select t.name from dag_tag t join dag d using (dag_id) where d.bundle_name = ?", bundle)
    return len(dags), [row[0] for row in rows], sum(float(seconds) for seconds in dict(dags).values())


def wait_for_task(dag: str) -> dict[str, str]:
    """What the Dag's task returned; ends the job where it fails or takes too long."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        states = [row[0] for row in query("select state from dag_run where dag_id = ?", dag)]
        if states == ["success"]:
            value = query("select value from xcom where dag_id = ? and key = 'return_value'", dag)[0][0]
            loaded = json.loads(value)
            return dict(json.loads(loaded) if isinstance(loaded, str) else loaded)
        if states == ["failed"]:
            break
        time.sleep(0.3)
    raise SystemExit(f"{dag}: {states or 'no run'}\n{(AIRFLOW_HOME / 'components.log').read_text()[-4000:]}")


def show(console: Console, rows: list[Done]) -> None:
    """The table at the end."""
    title = "Two bundles, one Dag processor, one scheduler"
    table = Table(title=title, title_justify="left")
    for column in ("bundle", "environment", "interpreter", "pandas", "Dags", "parsed", "task run"):
        table.add_column(column, justify="right" if column in {"Dags", "parsed"} else "left")
    for row in rows:
        cells = (row.bundle, row.environment, row.interpreter, row.pandas, str(row.dags))
        table.add_row(*cells, f"{row.seconds:.1f} s", row.task)
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
