"""`envman audit`."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Annotated

import typer

from envman.cli.options import (
    Environments,
    JsonOption,
    ProjectOption,
    require_workspace,
)
from envman.cli.output import Reporter, used_by_text
from envman.cli.progress import progress
from envman.errors import ExitCode, Problem, UsageError
from envman.packages.pip_audit import Service
from envman.usecases.audit import AuditOptions, AuditOutcome, Hit, audit


def audit_command(
    environments: Environments = None,
    service: Annotated[
        Service, typer.Option(help="The database: OSV, or the advisories of the package index.")
    ] = Service.OSV,
    url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", help="A server that speaks the OSV API, such as your own."),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option("--ignore", metavar="ID", help="A vulnerability, by its ID or an alias; repeatable."),
    ] = None,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find known vulnerabilities in locks, and the environments and bundles that they hit.

    pip-audit asks the database, once for each package and version. Nothing is resolved, downloaded or built;
    names and versions of the packages leave this machine. Ends with 1 if there is a vulnerability.

    Examples: envman audit · envman audit env_a --ignore CVE-2024-21503 ·
    envman audit --url https://osv.company.example
    """
    reporter = Reporter("audit", as_json)
    with reporter.errors():
        if url and service is not Service.OSV:
            raise UsageError(
                Problem("--url", "such a server speaks the OSV API", "Leave --service away, or pass osv.")
            )
        workspace = require_workspace(project)
        options = AuditOptions(service, url, tuple(ignore or ()))
        with progress(reporter) as report:
            outcome = audit(workspace, environments or [], options, os.environ, report)
        problems = [_vulnerable(finding) for finding in outcome.findings]
        if as_json:
            reporter.json(asdict(outcome), problems, ok=not problems)
        else:
            _show_findings(reporter, outcome)
        if problems:
            raise typer.Exit(ExitCode.FAILED)


def _show_findings(reporter: Reporter, outcome: AuditOutcome) -> None:
    rows = [
        (
            one.package,
            one.version,
            ", ".join((one.id, *one.aliases)),
            ", ".join(one.fixed_in) or "-",
            ", ".join(one.environments),
            ", ".join(one.bundles) or "-",
        )
        for one in outcome.findings
    ]
    if rows:
        reporter.table(("package", "version", "id", "fixed in", "environments", "bundles"), rows)
    if outcome.unknown:
        reporter.note(f"not in the database: {', '.join(outcome.unknown)}")
    counted = f"{outcome.packages} packages of {', '.join(outcome.environments)}"
    known = "1 known vulnerability" if len(rows) == 1 else f"{len(rows) or 'no'} known vulnerabilities"
    reporter.say(f"{counted}: {known}")


def _vulnerable(finding: Hit) -> Problem:
    names = ", ".join((finding.id, *finding.aliases))
    upgrade = f"envman lock {' '.join(finding.environments)} -P {finding.package}"
    fixed = f"Fixed in {', '.join(finding.fixed_in)}: {upgrade}" if finding.fixed_in else ""
    return Problem(
        f"{finding.package} {finding.version}",
        f"{names} {used_by_text(finding.environments, finding.bundles)}",
        fixed,
    )
