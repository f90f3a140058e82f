"""The commands that look at what is in environments: audit, licenses, sbom."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from envman.cli.options import (
    EnvironmentName,
    Environments,
    JsonOption,
    ProjectOption,
    RootOption,
    require_workspace,
    root_folder,
    workspace_if_any,
)
from envman.cli.output import Reporter, versions_text
from envman.cli.progress import progress
from envman.errors import ExitCode, Problem, UsageError
from envman.files import write_atomic
from envman.pip_audit import Service
from envman.usecases.audit import AuditOptions, AuditOutcome, Finding, audit
from envman.usecases.licenses import LicenseRow, Rules, list_licenses
from envman.usecases.sbom import environment_bill


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


def _vulnerable(finding: Finding) -> Problem:
    names = ", ".join((finding.id, *finding.aliases))
    upgrade = f"envman lock {' '.join(finding.environments)} -P {finding.package}"
    fixed = f"Fixed in {', '.join(finding.fixed_in)}: {upgrade}" if finding.fixed_in else ""
    return Problem(f"{finding.package} {finding.version}", f"{names} {_hits(finding)}", fixed)


def _hits(found: Finding | LicenseRow) -> str:
    bundles = f", used by {', '.join(found.bundles)}" if found.bundles else ""
    return f"in {', '.join(found.environments)}{bundles}"


def licenses_command(
    environments: Environments = None,
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow", metavar="LICENSE", help="Allow this license, and no other one; repeatable."),
    ] = None,
    deny: Annotated[
        list[str] | None, typer.Option("--deny", metavar="LICENSE", help="Deny this license; repeatable.")
    ] = None,
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the licenses of what is installed, and find those that are not allowed.

    A LICENSE is an SPDX identifier, a license's words as the table shows them, or 'unknown'. Of a package
    under 'A OR B' one of them has to be allowed, under 'A AND B' both. Ends with 1 if one is not allowed.

    Examples: envman licenses · envman licenses env_a --deny GPL-3.0-only --deny AGPL-3.0-only ·
    envman licenses --allow MIT --allow BSD-3-Clause --allow Apache-2.0
    """
    reporter = Reporter("licenses", as_json)
    with reporter.errors():
        rows = list_licenses(
            root_folder(root, project),
            workspace_if_any(project),
            environments or [],
            Rules(tuple(allow or ()), tuple(deny or ())),
            os.environ,
        )
        problems = [_not_allowed(row) for row in rows if not row.allowed]
        if as_json:
            reporter.json([asdict(row) for row in rows], problems, ok=not problems)
        else:
            _show_licenses(reporter, rows)
            reporter.problems(problems)
        if problems:
            raise typer.Exit(ExitCode.FAILED)


def _show_licenses(reporter: Reporter, rows: tuple[LicenseRow, ...]) -> None:
    cells = [
        (
            row.package,
            versions_text(row.versions),
            row.license,
            ", ".join(row.environments),
            ", ".join(row.bundles) or "-",
        )
        for row in rows
    ]
    reporter.table(("package", "versions", "license", "environments", "bundles"), cells)


def _not_allowed(row: LicenseRow) -> Problem:
    where = f"{row.package} {', '.join(row.versions)}"
    what = f"its license, {row.license}, is not allowed; it is {_hits(row)}"
    return Problem(where, what, "Do without the package, or change the rules: --allow, --deny.")


def sbom_command(
    environment: EnvironmentName,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write there instead of printing.")
    ] = None,
    project: ProjectOption = None,
    root: RootOption = None,
) -> None:
    """Print the bill of materials of an environment's current generation: CycloneDX 1.6, JSON.

    It names the interpreter and every package: version, package URL, the lock's hashes, license and what
    it depends on. The same generation gives the same bytes.

    Example: envman sbom env_a -o env_a.cdx.json
    """
    reporter = Reporter("sbom")
    with reporter.errors():
        text = environment_bill(root_folder(root, project), environment, os.environ).decode()
        if output:
            write_atomic(output, text)
            reporter.note(f"wrote {output}")
        else:
            sys.stdout.write(text)
