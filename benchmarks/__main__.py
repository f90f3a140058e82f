"""`python -m benchmarks NAME...`: measure, print ratios, write JSON if asked to.

`python -m benchmarks chart RESULT.json... OUT.svg` draws what earlier runs have written.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
import tempfile
from pathlib import Path

from benchmarks import chart
from benchmarks.report import Comparison, machine_in_words, write_json
from benchmarks.settings import Settings

BENCHMARKS = {
    "exec": "launch",
    "lookup": "lookup",
    "noop": "noop",
    "start": "command_start",
    "teams": "real_teams",
    "links": "link_modes",
    "image": "images",
    "parse": "parse_loop",
    "task": "task_start",
    "crash": "crash",
    "memory": "memory",
    "scale": "scale",
    "grow": "growth",
}
"""The modules, imported when they are asked for; each has a function `compare`."""


def main() -> None:
    if sys.argv[1:2] == ["chart"]:
        chart.main(sys.argv[2:])
        return
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # by way of every clean-up
    results: dict[str, list[Comparison]] = {}
    with tempfile.TemporaryDirectory(prefix="envman-bench-") as temporary:
        settings = Settings(
            folder=(options.folder or Path(temporary)).absolute(),
            envman=options.envman.absolute(),
            environments=options.environments,
            runs=options.runs,
            rounds=options.rounds,
            jobs=options.jobs,
            files=options.files,
            loops=options.loops,
            rivals=options.rivals,
            full=options.full,
            bundles=options.bundles or (5 if "scale" in options.names else 1),
            server_memory=options.server_memory,
            plain=options.plain,
        )
        settings.folder.mkdir(parents=True, exist_ok=True)
        print(machine_in_words(), end="\n\n", flush=True)
        for name in options.names:
            compare = importlib.import_module(f"benchmarks.{BENCHMARKS[name]}").compare
            results[name] = compare(settings)
            for comparison in results[name]:
                print(comparison.as_text(), end="\n\n", flush=True)
            if options.json:
                write_json(options.json, results)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = ", ".join(BENCHMARKS)
    parser.add_argument("names", nargs="+", metavar="NAME", choices=list(BENCHMARKS), help=names)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures into this file, too")
    many = (
        "numbers of environments: of exec and noop the large one (300), of parse and memory all (1,3,10), of "
        "scale all (1,10,50,200), of grow both (50,200)"
    )
    parser.add_argument("--environments", type=_numbers, default=(), metavar="N,N", help=many)
    parser.add_argument("--runs", type=int, default=60, help="counted runs of each row of exec")
    rounds = (
        "counted rounds of lookup, start (15), noop (7), teams (2), links (5), parse, crash (3), task (20), "
    )
    rounds += "memory, scale (1), grow (3)"
    parser.add_argument("--rounds", type=int, help=rounds)
    parser.add_argument("--jobs", type=int, default=2, help="environments that envman builds at once")
    files = "numbers of files of parse (10,100,1000); of each bundle of scale (5)"
    parser.add_argument("--files", type=_numbers, default=(), metavar="N,N", help=files)
    parser.add_argument("--bundles", type=int, default=0, help="bundles of each environment of scale (5)")
    parser.add_argument("--loops", type=int, default=2, help="how often parse goes through the files")
    budget = "budget of all fork servers, [servers] memory; none where it is left out"
    parser.add_argument("--server-memory", default="", metavar="4G", help=budget)
    rivals = "of parse, task, crash and memory, the first one the measure: stock,cold,warm,preload"
    parser.add_argument("--rivals", type=_words, default=(), metavar="A,B", help=rivals)
    plain = "files of parse and scale that import nothing but Airflow, instead of pandas"
    parser.add_argument("--plain", action="store_true", help=plain)
    full = "the same with environments as teams have them: 400 packages, plugins, a policy"
    parser.add_argument("--full", action="store_true", help=full)
    parser.add_argument("--folder", type=Path, help="work there and keep it; else in a temporary folder")
    script = Path(sys.executable).with_name("envman")
    parser.add_argument("--envman", type=Path, default=script, help="the installed console script to measure")
    return parser


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(","))


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


if __name__ == "__main__":
    main()
