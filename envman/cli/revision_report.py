"""How `envman diff --git` shows what differs: tables for people, Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Iterator

from envman.cli.markdown import code, codes, markdown_table
from envman.cli.output import Reporter, size_text
from envman.cli.package_cells import versions_text
from envman.errors import printable
from envman.lock.comparison import EnvironmentStatus
from envman.usecases.revision_diff import EnvironmentDifference, PackageRow, RevisionDiff, VulnerabilityRow

_MOST_ROWS = 200
"""Rows of a table in a comment: GitHub takes 65,536 characters."""


def show_revision_diff(reporter: Reporter, outcome: RevisionDiff) -> None:
    """Show the differences as tables; what could not be found out goes to standard error."""
    changed = [row for row in outcome.environments if row.status is not EnvironmentStatus.UNCHANGED]
    if changed:
        columns = ("environment", "", "packages", "size", "inputs")
        rows = [_shown((*_environment_cells(row), "; ".join(row.inputs))) for row in changed]
        reporter.table(columns, rows, right=("packages", "size"))
    if outcome.packages:
        headings = ("package", "old", "new", "size", "license", "environments")
        packages = [_shown(_package_cells(row)) for row in outcome.packages]
        reporter.table(headings, packages, right=("size",))
    if outcome.vulnerabilities:
        known = [
            ("comes" if one.comes else "goes", one.package, one.version, one.id, ", ".join(one.fixed_in))
            for one in outcome.vulnerabilities
        ]
        titles = ("vulnerability", "package", "version", "id", "fixed in")
        reporter.table(titles, [_shown(row) for row in known])
    if outcome.dags and outcome.dags.differences:
        parsed = [(one.bundle, one.file, one.dag or "-", one.what) for one in outcome.dags.differences]
        reporter.table(("bundle", "file", "dag", ""), [_shown(row) for row in parsed])
    for sentence in _sentences(outcome):
        reporter.say(sentence)
    for note in _notes(outcome):
        reporter.note(f"note: {printable(note)}")


def _shown(row: tuple[str, ...]) -> tuple[str, ...]:
    """Cells of strangers' texts, each in a line, and without what a terminal would obey."""
    return tuple(" ".join(printable(cell).split()) for cell in row)


def _environment_cells(row: EnvironmentDifference) -> tuple[str, str, str, str]:
    renamed = f"renamed from {row.before}" if row.status is EnvironmentStatus.RENAMED else row.status.value
    packages = f"{row.packages_before} -> {row.packages}"
    return row.environment, renamed, packages, change_text(row.size_change)


def _package_cells(row: PackageRow) -> tuple[str, ...]:
    return (
        row.package,
        versions_text(row.old),
        versions_text(row.new),
        change_text(_size_change(row)),
        _license_text(row),
        ", ".join(row.environments),
    )


def change_text(size: int | None) -> str:
    """By how much something grows: '+12 MB'."""
    if size is None:
        return "?"
    return f"{'-' if size < 0 else '+'}{size_text(abs(size))}" if size else "0"


def _size_change(row: PackageRow) -> int | None:
    """The change of a package's size; of one that comes or goes its whole size."""
    sides = ((row.old, row.old_size), (row.new, row.new_size))
    if any(versions and size is None for versions, size in sides):
        return None
    return (row.new_size or 0) - (row.old_size or 0)


def _license_text(row: PackageRow) -> str:
    """The licenses, both of them where they differ; empty where none is known, or nothing changed."""
    if not row.old:
        return row.new_license or ""
    if not row.new or row.old_license == row.new_license:
        return ""
    return f"{row.old_license or '?'} -> {row.new_license or '?'}"


def _sentences(outcome: RevisionDiff) -> Iterator[str]:
    if all(row.status is EnvironmentStatus.UNCHANGED for row in outcome.environments):
        yield f"The environments' locks are those of {outcome.revision}"
    if outcome.vulnerabilities is not None and not outcome.vulnerabilities:
        yield "No known vulnerability comes or goes"
    if outcome.dags and outcome.dags.bundles:
        counted = f"{outcome.dags.dags} Dags of {', '.join(outcome.dags.bundles)} were parsed in both"
        same = "" if outcome.dags.differences else ", and come out the same"
        yield f"{counted}{same}"


def _notes(outcome: RevisionDiff) -> Iterator[str]:
    yield from outcome.notes
    yield from outcome.dags.notes if outcome.dags else ()


def as_markdown(outcome: RevisionDiff) -> str:
    """The differences as Markdown; what the locks say is shown as code, so that none of it is a mark."""
    parts = [f"### Environments, compared with {code(outcome.revision)}\n"]
    changed = [row for row in outcome.environments if row.status is not EnvironmentStatus.UNCHANGED]
    if changed:
        rows = [_environment_markdown(row) for row in changed]
        columns = ("Environment", "", "Packages", "Size", "Inputs")
        parts.append(markdown_table(columns, rows, right=("Packages", "Size")))
    if outcome.vulnerabilities:
        rows = [_vulnerability_markdown(one) for one in outcome.vulnerabilities]
        parts.append(markdown_table(("Vulnerability", "Package", "Version", "ID", "Fixed in"), rows))
    if outcome.dags and outcome.dags.differences:
        rows = [
            tuple(map(code, (one.bundle, one.file, one.dag, one.what))) for one in outcome.dags.differences
        ]
        parts.append(_limited(("Bundle", "File", "Dag", "What differs"), rows))
    if outcome.packages:
        rows = [_package_markdown(row) for row in outcome.packages]
        table = _limited(("Package", "Old", "New", "Size", "License", "Environments"), rows, right=("Size",))
        counted = "1 package" if len(rows) == 1 else f"{len(rows)} packages"
        parts.append(f"<details open>\n<summary>{counted}</summary>\n\n{table}\n</details>\n")
    parts += [f"{code(sentence)}\n" for sentence in _sentences(outcome)]
    parts += ["".join(f"- {code(note)}\n" for note in _notes(outcome))]
    return "\n".join(filter(None, parts))


def _environment_markdown(row: EnvironmentDifference) -> tuple[str, ...]:
    name, _, packages, size = _environment_cells(row)
    status = row.status.value
    if row.status is EnvironmentStatus.RENAMED:
        status = f"renamed from {code(row.before)}"
    return code(name), status, packages.replace("->", "→"), size, codes(row.inputs) if row.inputs else ""


def _vulnerability_markdown(one: VulnerabilityRow) -> tuple[str, ...]:
    what = "**comes**" if one.comes else "goes"
    return what, code(one.package), code(one.version), codes((one.id, *one.aliases)), codes(one.fixed_in)


def _package_markdown(row: PackageRow) -> tuple[str, ...]:
    package, old, new, size, license_, environments = _package_cells(row)
    license_ = code(license_) if license_ else ""
    return code(package), code(old), code(new), size, license_, code(environments)


def _limited(columns: tuple[str, ...], rows: list[tuple[str, ...]], right: tuple[str, ...] = ()) -> str:
    table = markdown_table(columns, rows[:_MOST_ROWS], right)
    more = len(rows) - _MOST_ROWS
    return (
        table if more <= 0 else f"{table}\n{more} more rows are left out here: `envman diff --git --json`\n"
    )
