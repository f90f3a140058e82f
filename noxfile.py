"""The project's sessions: `nox` runs all tests, lane by lane (tests/lanes.py), with what this machine has.

As root on Debian, packages that are missing are installed first. The last line names the lanes that were left
out, and what they need; where CI is set none may be. Each session has an environment of its own below .nox/.
Further sessions: `demo` is the main job; `bench` times; `compatibility` tries each Airflow; `others` and
`supervisor` run what others wrote; `fuzz` attacks what reads children.
"""

from __future__ import annotations

import atexit
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import nox

sys.path.insert(0, str(Path(__file__).parent))
from tests import failures, lanes, needs

nox.needs_version = ">=2026.2"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
QUICK = ["lint", "unit", "package", "limits", "docs"]
nox.options.sessions = [*QUICK, "machine", "real", "images", "airflow", "chaos"]

CI = bool(os.environ.get("CI"))
nox.options.error_on_missing_interpreters = CI
THIS_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
UNIT_PYTHONS = lanes.PYTHONS if CI else tuple(dict.fromkeys((THIS_PYTHON, *lanes.PYTHONS)))

os.environ["PATH"] = needs.search_path_of_unit()
"""Here nox finds a session's Python; what the session runs has the caller's PATH."""

GROUPS = nox.project.load_toml("pyproject.toml")
CLEAN = {
    **dict.fromkeys(("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "ENVMAN_ROOT", "ENVMAN_PROJECT")),
    "PATH": needs.PATH,
}
"""Without the variables of the caller that would change what is tested or measured."""

ALONE = ["unshare", "--user", "--map-user=65534", "--map-group=65534", "--net"] if CI else []
"""Neither root nor a network: what the lane `unit` promises to do without."""

LEFT_OUT: dict[str, list[str]] = {}
"""What could not run: the session, and its needs that this machine lacks."""


FAILED: list[str] = []
"""What failed, in full: told once more at the end."""


@atexit.register
def _tell_what_was_left_out_or_failed() -> None:
    for failure in FAILED:
        print(f"\n{failure}", flush=True)
    if LEFT_OUT:
        told = (f"{session} (needs {', '.join(missing)})" for session, missing in LEFT_OUT.items())
        print(f"left out: {', '.join(told)}", flush=True)


def _provide(session: nox.Session, lane: str) -> None:
    """Get what a lane needs; leave the session where that can't be had."""
    if missing := needs.provide(lanes.LANES[lane].needs):
        LEFT_OUT[lane] = missing
        what = f"{lane} needs {', '.join(missing)}"
        if CI:
            session.error(f"{what}: in CI nothing is left out")
        session.skip(what)


def _install(session: nox.Session, *groups: str) -> None:
    requirements = [line for group in groups for line in nox.project.dependency_groups(GROUPS, group)]
    session.install("-e", ".", *requirements)


def _pytest(session: nox.Session, *words: str, before: Iterable[str] = (), **variables: str) -> None:
    """Run pytest with a folder for temporary files that no other run has, as each clears up there."""
    durations = ["--durations=25"] if CI else []
    with tempfile.TemporaryDirectory(prefix="nox-", ignore_cleanup_errors=True) as folder:
        report = Path(folder, "report.xml")
        places = [f"--basetemp={folder}/tests", f"--junitxml={report}"]
        env = {**CLEAN, **variables}
        try:
            session.run(*before, "pytest", *places, *durations, *words, env=env, external=bool(before))
        finally:
            FAILED.extend(failures.failures(report))


def _test(session: nox.Session, lane: str, *options: str, **variables: str) -> None:
    """Run a lane, or what the arguments after `--` name of it."""
    _provide(session, lane)
    _install(session, "test")
    _pytest(session, f"--lane={lane}", *(session.posargs or options), **variables)


@nox.session
def lint(session: nox.Session) -> None:
    """Format, lint rules and types."""
    _install(session, "lint")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("mypy", env=CLEAN)


@nox.session(python=False)
def pythons(session: nox.Session) -> None:
    """See to the Pythons of `unit`: one that is missing comes from another release of Debian, if it can."""
    for version in UNIT_PYTHONS:
        if not needs.provide_python(version):
            session.warn(f"there is no Python {version}")
            LEFT_OUT[f"unit-{version}"] = [f"Python {version}"]


@nox.session(python=UNIT_PYTHONS, requires=["pythons"])
def unit(session: nox.Session) -> None:
    """Tests that need no network, no root and no other Python; envman itself on several Pythons."""
    _install(session, "test")
    _pytest(session, "--lane=unit", *(session.posargs or ["-n", "2"]), before=ALONE)


@nox.session
def docs(session: nox.Session) -> None:
    """Generated pages are up to date, links resolve, the examples run as they stand."""
    _test(session, "docs", "-n", "2")


@nox.session
def real(session: nox.Session) -> None:
    """Real uv and builds, the package registry, interpreters of several versions."""
    _test(session, "real", "-n", "2", "--dist", "loadgroup")


@nox.session
def limits(session: nox.Session) -> None:
    """Users and limits, by this machine's kernel."""
    _test(session, "limits")


@nox.session
def images(session: nox.Session) -> None:
    """Images by each engine: built, pushed to a registry, run in containers."""
    _test(session, "images", "-n", "2", "--dist", "loadgroup")


@nox.session
def airflow(session: nox.Session) -> None:
    """A whole Airflow on PostgreSQL, by component: with LocalExecutor, and with Celery over Redis."""
    _test(session, "airflow", "-n", "2", "--dist", "loadfile")  # each half with an estate of its own


@nox.session
def kubernetes(session: nox.Session) -> None:
    """KubernetesExecutor, with a cluster of the tests whose pods podman runs; on request."""
    _provide(session, "kubernetes")
    _install(session, "test", "kubernetes")
    _pytest(session, "--lane=kubernetes", *session.posargs)  # one process: one estate, one node


@nox.session
def machine(session: nox.Session) -> None:
    """A Debian with systemd and cgroup v2, in user-mode Linux: units, limits, poison, the power cut."""
    _test(session, "machine", "-n", "2", "--dist", "loadfile")


@nox.session
def chaos(session: nox.Session) -> None:
    """Airflow's processes are killed at random under load; ENVMAN_CHAOS_SECONDS says for how long."""
    _test(session, "chaos", ENVMAN_CHAOS_SECONDS=os.environ.get("ENVMAN_CHAOS_SECONDS", "60"))


@nox.session
def compatibility(session: nox.Session) -> None:
    """The lane `airflow` on each supported Airflow; writes docs/reference/compatibility.md's table.

    Arguments name some versions. One environment has the oldest Python of its Airflow, one the newest.
    """
    _provide(session, "airflow")
    _install(session, "test")
    newest = "3.14" if needs.provide_python("3.14") else "3.13"
    own = ["own_component"]
    shared = ["upstream", "dag_processor", "executors", "other_languages", "triggerer", "celery"]
    shared += ["check", "doctor", "door", *own]
    runs = {
        "3.4.0b2": (shared, "3.11"),
        **dict.fromkeys(("3.3.2", "3.3.1", "3.3.0"), (shared, "3.10")),
        **dict.fromkeys(("3.2.2", "3.1.8"), (own, "3.10")),
    }
    reports = Path(session.create_tmp())
    for version in session.posargs or runs:
        tests, oldest = runs[version]
        pythons = f"{newest if tests is shared else '3.13'} {oldest} 3.13"
        session.run(
            "pytest",
            f"--junitxml={reports / version}.xml",
            *(f"tests/e2e/test_{name}.py" for name in tests),
            env={
                **CLEAN,
                "PATH": needs.search_path_of_unit(),
                "ENVMAN_E2E_AIRFLOW": version,
                "ENVMAN_E2E_PYTHONS": pythons,
            },
            success_codes=[0, 1],
        )
    session.run("python", "docs/compatibility.py", str(reports))


@nox.session
def others(session: nox.Session) -> None:
    """Dags of some thirty packages, parsed by the stock Dag processor and by envman's, compared row by row.

    Arguments name versions of Airflow. Environments of 2.5 GB are built; nox's cache keeps them.
    """
    _install(session, "test")
    session.run(
        "python", "-m", "tests.others", str(session.cache_dir / "others"), *session.posargs, env=CLEAN
    )


@nox.session
def supervisor(session: nox.Session) -> None:
    """Airflow's own tests of its supervisor, with children that envman starts, warm and cold.

    Arguments name versions of Airflow. tests/supervisor/__main__.py says how a test's function gets there.
    """
    _install(session, "test")
    session.run(
        "python", "-m", "tests.supervisor", str(session.cache_dir / "supervisor"), *session.posargs, env=CLEAN
    )


@nox.session
def fuzz(session: nox.Session) -> None:
    """Children that say whatever they like, to the door and Airflow's own readers behind it: ten minutes.

    Arguments are versions of Airflow; ENVMAN_FUZZ_SECONDS is for how long in all.
    """
    versions = session.posargs or ["3.3.2", "3.4.0b2"]
    seconds = float(os.environ.get("ENVMAN_FUZZ_SECONDS", "600")) / len(versions)
    for version in versions:
        session.install("--prerelease=allow", f"apache-airflow=={version}")
        env = {**CLEAN, "AIRFLOW_HOME": session.create_tmp(), "PYTHONPATH": str(Path(__file__).parent)}
        session.run("python", "-m", "tests.door.hostile", str(seconds), env=env)


@nox.session
def demo(session: nox.Session) -> None:
    """The main job: two bundles, each parsed by the real Airflow in its own interpreter."""
    session.install("-e", ".")
    session.run("python", "demo/main_job.py", *session.posargs, env=CLEAN)


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmarks, as ratios against named rivals; name some to run only those."""
    session.install("-e", ".[images]")
    session.run("python", "-m", "benchmarks", *(session.posargs or ["exec", "lookup", "noop"]), env=CLEAN)


@nox.session
def package(session: nox.Session) -> None:
    """Build the wheel, install it elsewhere, and do with it what a new user does first."""
    session.install("build[uv]")
    with tempfile.TemporaryDirectory() as folder:
        session.run("python", "-m", "build", "--installer", "uv", "--outdir", folder, silent=True)
        wheel = next(Path(folder).glob("*.whl"))
        session.install(str(wheel), "--force-reinstall")
        with session.chdir(folder):
            for words in (
                "--version",
                "--help",
                "schema environment",
                "init",
                "lock",
                "lock --check",
                "list",
            ):
                session.run("envman", *words.split(), env=CLEAN)
