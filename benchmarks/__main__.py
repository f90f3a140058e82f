"""`python -m benchmarks NAME...`: measure, print ratios, write JSON if asked to."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks import launch, noop, real_teams
from benchmarks.report import Comparison, write_json
from benchmarks.settings import Settings

BENCHMARKS = {"exec": launch.compare, "noop": noop.compare, "teams": real_teams.compare}


def main() -> None:
    options = _parser().parse_args()
    results: dict[str, list[Comparison]] = {}
    with tempfile.TemporaryDirectory(prefix="envman-bench-") as temporary:
        settings = Settings(
            folder=(options.folder or Path(temporary)).absolute(),
            envman=options.envman.absolute(),
            environments=options.environments,
            runs=options.runs,
            rounds=options.rounds,
            jobs=options.jobs,
        )
        settings.folder.mkdir(parents=True, exist_ok=True)
        for name in options.names:
            results[name] = BENCHMARKS[name](settings)
            for comparison in results[name]:
                print(comparison.as_text(), end="\n\n", flush=True)
    if options.json:
        write_json(options.json, results)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="+", metavar="NAME", choices=list(BENCHMARKS), help="exec, noop, teams"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures into this file, too")
    parser.add_argument("--environments", type=int, default=300, help="the large number of environments")
    parser.add_argument("--runs", type=int, default=60, help="counted runs of each row of exec")
    parser.add_argument("--rounds", type=int, help="counted rounds of noop (7) and teams (2)")
    parser.add_argument("--jobs", type=int, default=2, help="environments that envman builds at once")
    parser.add_argument("--folder", type=Path, help="work there and keep it; else in a temporary folder")
    script = Path(sys.executable).with_name("envman")
    parser.add_argument("--envman", type=Path, default=script, help="the installed console script to measure")
    return parser


if __name__ == "__main__":
    main()
