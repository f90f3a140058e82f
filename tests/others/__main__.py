"""Others' Dags, parsed by the stock Dag processor and by envman's, and compared: `nox -s others`.

    python -m tests.others FOLDER [VERSION...] [--only PROVIDER...]

In FOLDER are the environments, what was fetched, and the reports, by Airflow's versions. Both Dag processors have a
database of their own. Where they differ, the stock one parses those files again: what differs between its own two
runs (times, random names) is no difference. The exit code is 1 where one is found that is not listed with its reason
in expected.py.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.others.comparison import MISSING, Difference, compare, judge
from tests.others.expected import EXPECTED
from tests.others.packages import ALSO_USED, GENERATORS, NEEDED, PROVIDERS, requirement
from tests.others.project import PYTHON, Project
from tests.others.report import SYSTEMS, Run, headline, report
from tests.others.rows import Rows
from tests.others.sources import fetch_system_tests, only_files

OWN = Path(__file__).with_name("bundles")
EXAMPLES = {
    # bundle: where its Dags are in the environment that has all packages
    "airflow": "airflow/example_dags",
    "standard": "airflow/providers/standard/example_dags",
}


def main(words: list[str]) -> int:
    """Compare on each Airflow."""
    parser = argparse.ArgumentParser(prog="python -m tests.others", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("versions", nargs="*", default=["3.3.2"])
    parser.add_argument("--only", nargs="+", choices=PROVIDERS, default=list(PROVIDERS), metavar="PROVIDER")
    options = parser.parse_args(words)
    some = "-some" if len(options.only) < len(PROVIDERS) else ""
    outcomes = [
        compare_on(version, options.folder.absolute() / f"{version}{some}", options.only)
        for version in options.versions
    ]
    return 0 if all(outcomes) else 1


def compare_on(version: str, folder: Path, providers: list[str]) -> bool:
    """Build, parse twice, compare, report; whether all differences are listed."""
    bundles = _bundles(folder, providers)
    project = Project(folder / "project", version, bundles)
    pinned = [*map(requirement, providers), *("==".join(one) for one in GENERATORS.items())]
    project.build([*pinned, *ALSO_USED, *NEEDED])
    runs = {name: _timed(getattr(project, name), folder / "homes" / name) for name in ("stock", "shared")}
    stock = runs["stock"].rows
    differences = compare(stock, runs["shared"].rows)
    again = []
    if differences:
        with only_files(bundles[SYSTEMS], _files(stock, differences)):
            runs["stock again"] = _timed(project.stock, folder / "homes/again")
        found = compare(stock, runs["stock again"].rows)
        again = [one for one in found if one.path or one.ours != MISSING]  # a row that is gone was not parsed
    judged = judge(differences, EXPECTED, again)
    (folder / "report.md").write_text(report(version, runs, judged))
    print(f"Airflow {version}: {headline(stock, judged)}\nreport: {folder / 'report.md'}", flush=True)
    for difference in judged.unlisted:
        print(difference)
    return not judged.unlisted


def _files(rows: Rows, differences: Iterable[Difference]) -> set[str]:
    """The files below the systems' bundle that the Dags of differences are from."""
    dags = {difference.key[0] for difference in differences}
    files = {row[1] for (dag,), row in rows["Dags"].items() if dag in dags and row[0] == SYSTEMS}
    return files | {one.key[1] for one in differences if one.table == "import errors"}


def _bundles(folder: Path, providers: list[str]) -> dict[str, Path]:
    """The bundles, fetched where they are not there; those in the environment are there once it is built."""
    systems = folder / SYSTEMS
    if not systems.is_dir():
        unfinished = folder / "fetched"
        shutil.rmtree(unfinished, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        fetch_system_tests(providers, unfinished).rename(systems)
    packages = folder / f"project/venv/others/lib/python{PYTHON}/site-packages"
    return {
        SYSTEMS: systems,
        **{name: packages / path for name, path in EXAMPLES.items()},
        **{path.name: path for path in sorted(OWN.iterdir())},
    }


def _timed(parse: Callable[[Path], Rows], home: Path) -> Run:
    """Parse with a fresh AIRFLOW_HOME."""
    shutil.rmtree(home, ignore_errors=True)
    print(f"parsing: {home.name}", flush=True)
    started = time.monotonic()
    return Run(parse(home), time.monotonic() - started)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
