"""`envman licenses`."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Annotated

import typer

from envman.cli.options import (
    Environments,
    JsonOption,
    ProjectOption,
    RootOption,
    root_folder,
    workspace_if_any,
)
from envman.cli.output import Reporter, used_by_text
from envman.cli.package_cells import versions_text
from envman.errors import ExitCode, Problem
from envman.usecases.licenses import LicenseRow, Rules, list_licenses


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
    what = f"its license, {row.license}, is not allowed; it is {used_by_text(row.environments, row.bundles)}"
    return Problem(where, what, "Do without the package, or change the rules: --allow, --deny.")
