"""The project's sessions: `nox` runs lint, docs, tests, images, e2e; `demo` is the main job; `bench` times.

Each session has an environment of its own below .nox/; of the machine it uses the interpreters only.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "docs", "tests", "images", "e2e"]
nox.options.error_on_missing_interpreters = True

GROUPS = nox.project.load_toml("pyproject.toml")
LEFT_OUT = {"PYTHONDONTWRITEBYTECODE": None, "PYTHONPATH": None, "ENVMAN_ROOT": None, "ENVMAN_PROJECT": None}
"""Variables of the caller that would change what is tested or measured."""


def _install(session: nox.Session, *groups: str) -> None:
    requirements = [line for group in groups for line in nox.project.dependency_groups(GROUPS, group)]
    session.install("-e", ".", *requirements)


@nox.session
def lint(session: nox.Session) -> None:
    """Format, lint rules and types."""
    _install(session, "lint")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("mypy", env=LEFT_OUT)


@nox.session
def tests(session: nox.Session) -> None:
    """Units, real builds, the main job on the package registry."""
    _install(session, "test")
    elsewhere = ["--ignore", "tests/docs", "--ignore", "tests/images", "--ignore", "tests/e2e"]
    arguments = session.posargs or ["-n", "2", "--dist", "loadgroup", *elsewhere]
    session.run("pytest", *arguments, env=LEFT_OUT)


@nox.session
def images(session: nox.Session) -> None:
    """Images by each engine: built, pushed to a registry, run in containers. Needs root, and tools."""
    _install(session, "test")
    session.run(
        "pytest", *(session.posargs or ["-n", "2", "--dist", "loadgroup", "tests/images"]), env=LEFT_OUT
    )


@nox.session
def e2e(session: nox.Session) -> None:
    """A whole Airflow, component by component: on SQLite, and on PostgreSQL with Celery over Redis."""
    _install(session, "test")
    side_by_side = ["-n", "2", "--dist", "loadfile"]  # each half with an estate of its own
    arguments = session.posargs or [*side_by_side, "tests/e2e", "--ignore", "tests/e2e/test_chaos.py"]
    session.run("pytest", *arguments, env=LEFT_OUT)


@nox.session
def chaos(session: nox.Session) -> None:
    """Processes are killed at random under load; ENVMAN_CHAOS_SECONDS says for how long."""
    _install(session, "test")
    session.run("pytest", "tests/e2e/test_chaos.py", *session.posargs, env=LEFT_OUT)


@nox.session
def compatibility(session: nox.Session) -> None:
    """The end-to-end tests on each supported Airflow; writes docs/reference/compatibility.md's table."""
    _install(session, "test")
    shared = ["test_local_executor.py", "test_dag_processor.py", "test_upstream.py", "test_own_component.py"]
    own = ["test_own_component.py"]
    runs = {"3.3.2": shared, "3.3.1": shared, "3.3.0": shared, "3.2.2": own, "3.1.8": own}
    reports = Path(session.create_tmp())
    for version in session.posargs or runs:
        files = [f"tests/e2e/{file}" for file in runs[version]]
        report = f"--junitxml={reports / version}.xml"
        session.run(
            "pytest", report, *files, env={**LEFT_OUT, "ENVMAN_E2E_AIRFLOW": version}, success_codes=[0, 1]
        )
    session.run("python", "docs/compatibility.py", str(reports))


@nox.session
def docs(session: nox.Session) -> None:
    """Generated pages are up to date, links resolve, the examples run as they stand."""
    _install(session, "test")
    session.run("pytest", "tests/docs", *session.posargs, env=LEFT_OUT)


@nox.session
def demo(session: nox.Session) -> None:
    """The main job: two bundles, each parsed by the real Airflow in its own interpreter."""
    session.install("-e", ".")
    session.run("python", "demo/main_job.py", *session.posargs, env=LEFT_OUT)


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmarks, as ratios against named rivals; name some to run only those."""
    session.install("-e", ".[images]")
    session.run("python", "-m", "benchmarks", *(session.posargs or ["exec", "noop"]), env=LEFT_OUT)


@nox.session
def package(session: nox.Session) -> None:
    """Build the wheel, install it elsewhere, and see that it is whole."""
    session.install("build")
    with tempfile.TemporaryDirectory() as folder:
        session.run("python", "-m", "build", "--outdir", folder, silent=True)
        wheel = next(Path(folder).glob("*.whl"))
        session.install(str(wheel), "--force-reinstall")
        with session.chdir(folder):
            session.run("envman", "--version", env=LEFT_OUT)
            session.run("envman", "schema", "environment", silent=True, env=LEFT_OUT)
