"""`envman diff`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from envman.cli.completion import complete_environment
from envman.cli.options import (
    JsonOption,
    OfflineOption,
    ProjectOption,
    RootOption,
    require_workspace,
    root_folder,
    source,
)
from envman.cli.output import Reporter
from envman.cli.package_cells import change_cells
from envman.errors import Problem, UsageError
from envman.usecases.diff import diff

if TYPE_CHECKING:
    from envman.spec.workspace import Workspace
    from envman.usecases.revision_diff import RevisionDiffRequest


Left = Annotated[
    str | None,
    typer.Argument(
        metavar="[ENVIRONMENT]", help="An environment's name.", autocompletion=complete_environment
    ),
]
Right = Annotated[
    str | None,
    typer.Argument(metavar="[OTHER]", help="The other one.", autocompletion=complete_environment),
]
GitOption = Annotated[
    str | None,
    typer.Option(
        "--git",
        metavar="REVISION",
        help="Compare with the locks in a revision of the project's git; all if none is named.",
    ),
]
DagsOption = Annotated[
    bool,
    typer.Option(
        "--dags", help="With --git: Dags that come out differently; both generations have to be built."
    ),
]
AuditOption = Annotated[
    bool,
    typer.Option(
        "--audit", help="With --git: known vulnerabilities that come or go; asks OSV, as `envman audit`."
    ),
]
AuditUrlOption = Annotated[
    str | None,
    typer.Option(
        "--audit-url", metavar="URL", help="The same, of a server of your own that speaks the OSV API."
    ),
]
MarkdownOption = Annotated[
    bool, typer.Option("--markdown", help="With --git: write Markdown, for a comment on a pull request.")
]


def diff_command(
    left: Left = None,
    right: Right = None,
    git: GitOption = None,
    dags: DagsOption = False,
    audit: AuditOption = False,
    audit_url: AuditUrlOption = None,
    markdown: MarkdownOption = False,
    offline: OfflineOption = False,
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the packages of two environments' locks; with one name, what runs with what is locked.

    With --git, compare the locks of a revision with those of the working tree: packages, sizes, licenses,
    and with --audit and --dags vulnerabilities and Dags. The repository is only read.

    Examples: envman diff env_a env_b · envman diff env_a · envman diff --git main --markdown
    """
    reporter = Reporter("diff", as_json)
    with reporter.errors():
        workspace = require_workspace(project, root)
        names = tuple(name for name in (left, right) if name)
        if git is not None:
            from envman.usecases.revision_diff import RevisionDiffRequest

            asked = RevisionDiffRequest(
                git, names, source(workspace, offline), dags, audit or bool(audit_url), audit_url
            )
            _with_revision(reporter, workspace, asked, markdown)
            return
        if dags or audit or audit_url or markdown:
            raise UsageError(Problem("--git", "is missing", "Name the revision to compare with: --git main"))
        if left is None:
            remedy = "Name one, or a revision to compare all with: envman diff --git main"
            raise UsageError(Problem("ENVIRONMENT", "is missing", remedy))
        outcome = diff(workspace, root_folder(root, project), left, right)
        if as_json:
            reporter.result(outcome)
        elif outcome.changes:
            rows = [change_cells(change) for change in outcome.changes]
            reporter.table(("package", outcome.left, outcome.right), rows)
        else:
            reporter.say(f"{outcome.left} and {outcome.right} hold the same packages")


def _with_revision(
    reporter: Reporter, workspace: Workspace, asked: RevisionDiffRequest, markdown: bool
) -> None:
    from envman.cli.output import pass_on
    from envman.cli.progress import progress
    from envman.cli.revision_report import as_markdown, show_revision_diff
    from envman.usecases.revision_diff import revision_diff

    with progress(reporter) as report:
        outcome = revision_diff(workspace, asked, report, pass_on)
    if reporter.as_json:
        reporter.result(outcome)
    elif markdown:
        reporter.say(as_markdown(outcome).rstrip())
    else:
        show_revision_diff(reporter, outcome)
