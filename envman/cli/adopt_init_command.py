"""`envman adopt init`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from envman.adoption.start_files import WantedStarts
from envman.cli.options import JsonOption, OfflineOption, source
from envman.cli.output import Reporter
from envman.cli.progress import progress
from envman.errors import EnvmanError
from envman.system.processes import Processes
from envman.usecases.adopt_init import AdoptOutcome, AdoptRequest, adopt_init, with_lock

SystemdOption = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="DIR", help="Folder with systemd units, or a unit. Repeatable. Default: the system's."
    ),
]
ComposeOption = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="Compose file. Repeatable. Default: the one in this folder."),
]
HelmOption = Annotated[
    list[Path] | None, typer.Option(metavar="FILE", help="Values of the Helm chart. Repeatable.")
]
ProgramOption = Annotated[
    str,
    typer.Option("--envman", metavar="PATH", help="envman's path in start commands. Default: this one's."),
]
NewRootOption = Annotated[
    str,
    typer.Option(
        metavar="DIR", help="Root folder of the environments. Default: .venvs in DIR; in images, /venv."
    ),
]


def adopt_init_command(
    airflow: Annotated[
        Path, typer.Option("--airflow", metavar="PYTHON", help="The interpreter that Airflow runs in.")
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The project's new folder.")] = Path(
        "adopted"
    ),
    systemd: SystemdOption = None,
    compose: ComposeOption = None,
    helm_values: HelmOption = None,
    program: ProgramOption = "",
    root: NewRootOption = "",
    lock: Annotated[
        bool, typer.Option("--lock", help="Lock it at once, and compare the lock with what is installed.")
    ] = False,
    offline: OfflineOption = False,
    as_json: JsonOption = False,
) -> None:
    """Read a live Airflow, and write a project with an environment of exactly today's versions.

    Nothing of what runs is changed, and nothing of it is imported. The project has envman.toml, one spec, the
    changed start commands as a diff, and the way back.

    Examples: envman adopt init --airflow /opt/airflow/bin/python --lock ·
    envman adopt init --airflow /opt/airflow/bin/python --systemd /etc/systemd/system ~/deployment
    """
    reporter = Reporter("adopt init", as_json)
    with reporter.errors():
        starts = WantedStarts(tuple(systemd or ()), tuple(compose or ()), tuple(helm_values or ()))
        request = AdoptRequest(airflow, folder, starts, program, root)
        outcome = adopt_init(request, os.environ, Processes())
        if not as_json:
            _show(reporter, outcome)
        if lock:
            outcome = _locked(reporter, outcome, offline)
        if as_json:
            reporter.result(outcome)
        else:
            _show_differences(reporter, outcome, is_locked=lock)


def _locked(reporter: Reporter, outcome: AdoptOutcome, offline: bool) -> AdoptOutcome:
    """Lock the new project, and compare; raises what locking raises, with the project left as it is."""
    from envman.lock.lockfile import parse_pins  # uv and the index are for this alone
    from envman.spec.workspace import open_workspace
    from envman.usecases.lock import LockOptions, lock
    from envman.uv.runner import Upgrade

    workspace = open_workspace(Path(outcome.folder))
    try:
        with progress(reporter) as report:
            lock(workspace, (), LockOptions(Upgrade(), source(workspace, offline), 1), report).raise_errors()
    except EnvmanError:
        if not reporter.as_json:
            _show_differences(reporter, outcome, is_locked=False)
        raise
    (environment,) = workspace.choose([outcome.environment])
    path = workspace.lock_path(environment)
    return with_lock(outcome, parse_pins(path.read_text(encoding="utf-8"), str(path), environment.name))


def _show(reporter: Reporter, outcome: AdoptOutcome) -> None:
    reporter.say(f"Airflow {outcome.airflow} on Python {outcome.python}: {outcome.interpreter}")
    found = outcome.found
    count = len(found["distributions"])
    reporter.say(f"{count} packages are installed, {len(outcome.providers)} of them providers")
    bundles = [(one["name"], one["path"] or one["classpath"], one["team"] or "-") for one in found["bundles"]]
    reporter.table(("bundle", "Dags", "team"), bundles)
    starts = [
        (one.file, one.kind, ", ".join(one.components) or "-", "changed" if one.changed else "as it is")
        for one in outcome.starts
    ]
    if starts:
        reporter.table(("starts", "kind", "components", "in the diff"), starts)
    for note in outcome.notes:
        reporter.say(f"- {note}")
    for name in outcome.files:
        reporter.say(f"wrote {outcome.folder}/{name}")


def _show_differences(reporter: Reporter, outcome: AdoptOutcome, *, is_locked: bool) -> None:
    rows = [(one.package, one.today or "-", one.locked or "-", one.why) for one in outcome.differences]
    if rows:
        reporter.table(("package", "today", "locked" if is_locked else "expected", "why"), rows)
    compared = "its lock" if is_locked else "its spec"
    reporter.say(f"{len(outcome.pins)} packages are pinned; {len(rows)} differ between today and {compared}")
    next_steps = "envman build" if is_locked else "envman lock, envman build"
    way = f"{next_steps}, envman adopt prove; then the diff; the way back is in WAY-BACK.md"
    reporter.say(f"Next: cd {outcome.folder}; {way}")
