"""`envman sbom`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from envman.cli.options import (
    EnvironmentName,
    ProjectOption,
    RootOption,
    root_folder,
)
from envman.cli.output import Reporter, write
from envman.system.files import write_atomic
from envman.usecases.sbom import environment_bill


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
            write(sys.stdout, text)
