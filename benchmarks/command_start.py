"""`start`: what commands with nothing to do cost, against the imports of a command line."""

from __future__ import annotations

from benchmarks.measure import Action, action, clean_environment, take_turns
from benchmarks.projects import TinyProject, make_project
from benchmarks.report import Comparison
from benchmarks.settings import FEW, Settings

ROUNDS = 15
IMPORTS = "import typer, rich.console"
GOALS = {
    "envman --version": 1.5,
    "envman --help": 1.5,
    "a press of Tab, bash": 1.5,
    "a press of Tab, zsh": 1.5,
    "a press of Tab behind exec --bundle": 1.5,
    "envman list": 3.0,
    "envman resolve": 3.0,
    "envman lock --check": 3.0,
    "envman build": 3.5,
}
"""How many times the imports each may take."""


def compare(settings: Settings) -> list[Comparison]:
    """Processor time, which a busy machine alters less, and the time on the clock."""
    project = make_project(settings, FEW, distinct=True)
    samples = take_turns(_actions(settings, project), settings.rounds or ROUNDS)
    titles = {"cpu": "processor time", "wall": "time on the clock"}
    values = {
        kind: {name: [getattr(sample, kind) for sample in found] for name, found in samples.items()}
        for kind in titles
    }
    notes = _missed(Comparison("", values["cpu"], (IMPORTS,)))
    return [
        Comparison(f"start: {title}", values[kind], (IMPORTS,), notes=notes if kind == "cpu" else ())
        for kind, title in titles.items()
    ]


def _missed(comparison: Comparison) -> tuple[str, ...]:
    ratios = {name: comparison.ratio(name, IMPORTS) for name in GOALS}
    missed = [
        f"{name}: {ratio:.2f}, goal {GOALS[name]}" for name, ratio in ratios.items() if ratio > GOALS[name]
    ]
    return tuple(missed) or ("all goals are met",)


def _actions(settings: Settings, project: TinyProject) -> dict[str, Action]:
    envman, plain, folder = settings.envman, clean_environment(), project.folder

    def tab(shell: str, line: str) -> Action:
        """What the shell's script runs when somebody presses Tab at the end of a line."""
        words = line.split(" ")
        variables = {
            "_ENVMAN_COMPLETE": f"complete_{shell}",
            "COMP_WORDS": "\n".join(words),
            "COMP_CWORD": str(len(words) - 1),
            "_TYPER_COMPLETE_ARGS": line,
        }
        return action([envman], clean_environment(**variables), folder)

    return {
        IMPORTS: action([settings.python, "-c", IMPORTS], plain, folder),
        "envman --version": action([envman, "--version"], plain, folder),
        "envman --help": action([envman, "--help"], plain, folder),
        "a press of Tab, bash": tab("bash", "envman "),
        "a press of Tab, zsh": tab("zsh", "envman "),
        "a press of Tab behind exec --bundle": tab("bash", "envman exec --bundle "),
        "envman list": action([envman, "list"], plain, folder),
        "envman resolve": action([envman, "resolve", "--bundle", "bundle_0000"], plain, folder),
        "envman lock --check": action([envman, "lock", "--check"], plain, folder),
        "envman build": action([envman, "build", "--wheelhouse", project.wheelhouse], plain, folder),
    }
