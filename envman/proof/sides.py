"""The two interpreters of a proof: that of the live Airflow, and that of a bundle's environment."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from envman.deployment.environment_script import Inside, inside_environment, without_database
from envman.errors import Problem, UsageError
from envman.launch.airflow_configuration import AirflowConfiguration
from envman.launch.purpose import purpose_of_bundle
from envman.proof.parse_runs import ProofSide, link_home
from envman.proof.parsed_file import ParsePlace, ProofInterpreter
from envman.resolver.snapshot import AIRFLOW_DEFAULT, Snapshot
from envman.resolver.variables import child_environment

OLDEST = 3
"""The major version of Airflow from which on two Dag processors can be compared."""

_WHICH_PYTHON = "Pass the Python of the live Airflow: --airflow /opt/airflow/bin/python"


@dataclass(frozen=True)
class LiveAirflow:
    """The live deployment: its interpreter, its variables, its bundles that are folders, its AIRFLOW_HOME."""

    python: str
    environ: Mapping[str, str]
    folders: Mapping[str, str]
    home: str

    @property
    def where(self) -> str:
        """Its place in messages."""
        return f"the live Airflow, {self.python}"

    def bundle_of(self, folder: str) -> tuple[str, str]:
        """The live bundle that a folder is in, and that bundle's folder; empty where there is none."""
        inside = [one for one in self.folders.items() if is_within(folder, one[1])]
        return max(inside, key=lambda one: len(os.path.realpath(one[1])), default=("", ""))

    def side(self, bundle: str, folder: str, home: Path) -> ProofSide:
        """It, for the files in a bundle's folder: as files of the live bundle that they are in."""
        home.mkdir()
        link_home(self.home, home)
        variables = child_environment(self.environ, str(Path(self.python).parent), (), {})
        if "PYTHONPATH" in self.environ:
            variables["PYTHONPATH"] = self.environ["PYTHONPATH"]
        inside = Inside("", self.where, self.python, without_database(variables, str(home)))
        name, above = self.bundle_of(folder)
        within = folder
        if above:
            below = os.path.relpath(os.path.realpath(folder), os.path.realpath(above))
            within = os.path.normpath(Path(above, below))
        return ProofSide(inside, name or bundle, ParsePlace(str(home), above or folder, within))


def live_airflow(airflow: Path | None, dags: Sequence[Path], environ: Mapping[str, str]) -> LiveAirflow:
    """Find it: by its interpreter or the virtual environment that it is in, else by `airflow` on PATH.

    Raises UsageError where there is none, SpecError where Airflow's configuration can't be read.
    """
    configuration = AirflowConfiguration(environ)
    for folder in dags:
        if not folder.is_dir():
            raise UsageError(
                Problem(str(folder), "there is no such folder", "Pass a folder of the live Airflow's Dags.")
            )
    given = {
        f"{AIRFLOW_DEFAULT}-{number}" if number else AIRFLOW_DEFAULT: str(one.absolute())
        for number, one in enumerate(dags)
    }
    folders = given or {
        name: one for name, one in configuration.local_folders().items() if Path(one).is_dir()
    }
    home = str(Path(configuration.module_folders()[0]).parent)
    return LiveAirflow(_python(airflow, environ), environ, folders, home)


def _python(airflow: Path | None, environ: Mapping[str, str]) -> str:
    if airflow is None:
        found = shutil.which("airflow", path=environ.get("PATH"))
        if found is None:
            raise UsageError(
                Problem("--airflow", "is not given, and there is no 'airflow' on PATH", _WHICH_PYTHON)
            )
        python = Path(found).resolve().with_name("python")
    else:
        python = airflow.absolute()
        if python.is_dir():
            python = python / "bin/python"
    if not python.is_file() or not os.access(python, os.X_OK):
        raise UsageError(Problem(str(python), "is no program that this user can run", _WHICH_PYTHON))
    return os.path.normpath(python)


def check_live(facts: ProofInterpreter, live: LiveAirflow) -> None:
    """Raise UsageError unless it is an Airflow whose Dag processor can be compared with."""
    if not facts.airflow:
        raise UsageError(Problem(live.python, "has no Airflow installed", _WHICH_PYTHON))
    major = facts.airflow.partition(".")[0]
    if not major.isdigit() or int(major) < OLDEST:
        what = (
            f"has Airflow {facts.airflow}, whose Dag processor writes what it has parsed into its database, "
            "in another form than Airflow 3's: there is nothing to compare"
        )
        remedy = (
            "Upgrade it to Airflow 3.3 as it is, by Airflow's own guide, and prove the way to envman then."
        )
        raise UsageError(Problem(live.python, what, remedy))


@contextmanager
def environments_side(
    snapshot: Snapshot, bundle: str, folder: str, environ: Mapping[str, str], home: Path
) -> Iterator[ProofSide]:
    """A bundle's environment, held; raises as `inside_environment` does."""
    home.mkdir()
    link_home(str(Path(AirflowConfiguration(environ).module_folders()[0]).parent), home)
    purpose = purpose_of_bundle(snapshot, bundle, environ)
    with inside_environment(snapshot, purpose, environ, str(home)) as inside:
        shared = tuple(snapshot.table.shared(bundle))
        yield ProofSide(inside, bundle, ParsePlace(str(home), folder, folder), shared)


def is_within(path: str, folder: str) -> bool:
    """Whether a path is a folder, or below it, links resolved."""
    inner, outer = os.path.realpath(path), os.path.realpath(folder)
    return inner == outer or inner.startswith(f"{outer.rstrip(os.sep)}{os.sep}")
