"""Airflow's own tests of its supervisor, with children that envman starts: `nox -s supervisor`.

    python -m tests.supervisor FOLDER [VERSION...] [-k TESTS]

The tests are those of the task SDK's source distribution. They run in the component's environment three times: with
Airflow's own children (`stock`), with forks of the fork server of another environment (`warm`), and with an
interpreter of it for each (`cold`); see component/envman_children.py. Most of these tests give the child a function
of their own to run. It goes along by value, with the variables that it refers to, so it runs in the other
interpreter, behind envman's start and Airflow's own `_fork_main`. What of the test's process it can't take along
(a clock that stands still) is why some fail. Airflow's test tools have no current release; what the tests use of them
is in component/tests_common.

A test that fails with envman's children, passes with Airflow's, and is not listed in expected.py, is a failure.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from tests.e2e.kinds import envman
from tests.fork_servers import statuses
from tests.others.project import COMPONENTS, PYTHON, clean
from tests.supervisor.expected import EXPECTED, Known
from tests.supervisor.outcomes import FAILED, Outcomes, figures, read_outcomes
from tests.wheels import make_wheel

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
SDKS = {"3.3.2": "1.3.2", "3.4.0b2": "1.4.0b2"}
TESTS = "tests/task_sdk/execution_time/test_supervisor.py"
CLOUDPICKLE = "cloudpickle==3.1.1"
"""Later ones forget in which file a function stands."""

TEST_TOOLS = (
    "apache-airflow-providers-amazon",
    "kgb",
    "pytest<10",
    "pytest-asyncio",
    "pytest-mock",
    "pytest-timeout",
    "pytest-unordered",
    "time-machine<3",  # from 3 on it stops the clock that the supervisor waits by, too
)
LIMIT = 120
"""Seconds for a test."""

WAYS: Mapping[str, Mapping[str, str]] = {
    "stock": {},
    "warm": {"PYTEST_PLUGINS": "envman_children"},
    "cold": {"PYTEST_PLUGINS": "envman_children", "ENVMAN_COLD": "1"},
}
NOT_LISTED = "Failing, and not listed"
LISTED = "Failing, with a reason"
STOCK = "Failing with Airflow's own children, too"
MENDED = "Listed, and not failing"

BUNDLES = ("anything", "my-bundle")
"""Those that the tests name."""


def main(words: list[str]) -> int:
    """Run the tests of each Airflow."""
    parser = argparse.ArgumentParser(prog="python -m tests.supervisor", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("versions", nargs="*", default=["3.3.2"])
    parser.add_argument("-k", default="", help="only these tests, as pytest has it")
    options = parser.parse_args(words)
    unlisted: list[str] = []
    for version in options.versions:
        folder = options.folder.absolute() / version
        project = build(folder / "project", version)
        tests = fetch(SDKS[version], folder)
        text, failed = report(version, {way: run(project, tests, way, options.k) for way in WAYS})
        (folder / "report.md").write_text(text)
        print(f"{text}\nreport: {folder / 'report.md'}", flush=True)
        unlisted += failed
    return 1 if unlisted else 0


def build(folder: Path, version: str) -> Path:
    """The environments `core`, in which the tests run, and `team`, in which the children do."""
    text = (HERE / "given_target.py").read_text(encoding="utf-8")
    start = "import envman_given_target; envman_given_target.install()\n"
    files = {"envman_given_target/__init__.py": text, "envman_given_target.pth": start}
    given = f"1.{zlib.crc32(text.encode())}"  # another content is another version: a lock holds its hash
    make_wheel(folder / "wheels", "envman-given-target", given, files=files)
    pre = 'prerelease = "allow"\n' if re.search("[a-z]", version) else ""
    lines = ['root = "venv"', f'airflow-version = "{version}"', 'airflow-environment = "core"', "[bundles]"]
    lines += [f'{bundle} = {{ environment = "team" }}' for bundle in BUNDLES]
    _write(folder / "envman.toml", "\n".join([*lines, ""]))
    _write(folder / "uv.toml", f'find-links = ["{folder}/wheels"]\n{pre}')
    for environment, added in {
        "core": TEST_TOOLS,
        "team": ("pytest<10", f"envman-given-target=={given}"),
    }.items():
        listed = json.dumps([*COMPONENTS, CLOUDPICKLE, *added])
        spec = f'requires-python = "=={PYTHON}.*"\ndependencies = {listed}\n'
        _write(folder / f"environments/{environment}.toml", spec)
    for command in ("lock", "build"):
        subprocess.run(envman(command), cwd=folder, env=clean("PYTEST"), stdout=sys.stderr, check=True)
    return folder


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def fetch(sdk: str, folder: Path) -> Path:
    """The task SDK's source distribution, without its sources: the tests are for what is installed."""
    unpacked = folder / f"apache_airflow_task_sdk-{sdk}"
    if not unpacked.is_dir():
        words = ["pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", str(folder)]
        subprocess.run(
            [sys.executable, "-m", *words, f"apache-airflow-task-sdk=={sdk}"], env=clean("PYTEST"), check=True
        )
        with tarfile.open(f"{unpacked}.tar.gz") as archive:
            archive.extractall(folder, filter="data")
        shutil.rmtree(unpacked / "src")
    return unpacked


def run(project: Path, tests: Path, way: str, only: str) -> Outcomes:
    """Run the tests in one of the ways, and once more those that failed: some have little patience."""
    home = project.parent / "homes" / way
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    environ = {
        **clean("PYTEST"),
        "AIRFLOW_HOME": str(home),
        "ENVMAN_ROOT": str(project / "venv"),
        "ENVMAN_RUN": str(home / "run"),
        "ENVMAN_PACKAGE": str(CHECKOUT / "envman"),
        "PYTHONPATH": str(HERE / "component"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",  # an example's plugin prints something in each task
        **WAYS[way],
    }
    python = str(project / "venv/core/bin/python")
    options = ["-k", only, f"--timeout={LIMIT}", "-o", f"cache_dir={home}/cache"]
    words = [python, "-m", "pytest", TESTS, *options]
    outcomes: Outcomes = {}
    for number, again in enumerate(([], ["--last-failed", "--last-failed-no-failures=none"])):
        print(f"running: {way}{', what has failed' if again else ''}", flush=True)
        file = home / f"outcomes-{number}.xml"
        with (home / f"output-{number}").open("wb") as output:
            run_words = [*words, *again, f"--junitxml={file}"]
            subprocess.run(run_words, cwd=tests, env=environ, stdout=output, stderr=output, check=False)
        assert file.is_file(), (home / f"output-{number}").read_text()[-5000:]
        outcomes |= read_outcomes(file)
    for server in statuses(home / "run"):
        os.kill(server["pid"], signal.SIGTERM)
    return outcomes


def report(version: str, outcomes: Mapping[str, Outcomes]) -> tuple[str, list[str]]:
    """The report, as Markdown, and the tests that fail without being listed."""
    told: dict[str, list[str]] = {NOT_LISTED: [], LISTED: [], STOCK: [], MENDED: []}
    unlisted = []
    for name, stock in outcomes["stock"].items():
        ends = {way: outcomes[way][name] for way in outcomes if name in outcomes[way]}
        failing = [way for way, outcome in ends.items() if outcome.end == FAILED]
        known = EXPECTED.get(name) or EXPECTED.get(name.partition("[")[0])
        kind = _kind(failing, known)
        unlisted += [name] if kind == NOT_LISTED else []
        if kind:
            why = known.reason if known and kind != STOCK else ends[(failing or ["stock"])[-1]].why
            told[kind].append(f"- {name} ({', '.join(failing) or stock.end}): {why}")
    lines = [f"# Airflow {version}: its tests of the supervisor, with envman's children", ""]
    lines += [f"- {way}: {figures(found)}" for way, found in outcomes.items()]
    for kind, rows in told.items():
        lines += ["", f"## {kind}", "", *rows]
    return "\n".join(lines) + "\n", unlisted


def _kind(failing: list[str], known: Known | None) -> str:
    """Where a test stands in the report; empty where there is nothing to tell of it."""
    if "stock" in failing:
        return STOCK
    if not failing:
        return MENDED if known else ""
    return LISTED if known and set(failing) <= set(known.ways) else NOT_LISTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
