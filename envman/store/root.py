"""Find the root folder of the published environments, and what is published in it."""

from __future__ import annotations

import os
import stat

from envman.errors import Problem, ResolveError, SpecError, StoreError
from envman.resolver.snapshot import Snapshot
from envman.resolver.table import Table
from envman.signing.policy_file import policy_file
from envman.store import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from envman.resolver.snapshot import AirflowBundles

PROJECT_FILE = "envman.toml"
LARGEST_PROJECT = 2**20


def find_root(environ: Mapping[str, str], option: str | None, folder: str) -> str:
    """The root folder, absolute: the option, ENVMAN_ROOT, or `root` of the nearest envman.toml above.

    Raises ResolveError where none of these is there.
    """
    chosen = option or environ.get("ENVMAN_ROOT")
    if chosen:
        return absolute(chosen)
    project = find_project(environ, folder)
    if project is None:
        remedy = "Pass --root, set ENVMAN_ROOT (images do), or start from a folder below envman.toml."
        raise ResolveError(Problem("", "the root folder of the environments is not known", remedy))
    return _declared_root(project)


def find_project(environ: Mapping[str, str], folder: str) -> str | None:
    """The project's folder: ENVMAN_PROJECT, else the nearest one upwards that holds envman.toml.

    Raises SpecError for a folder that can't be looked into: one further up may be another project's.
    """
    if chosen := environ.get("ENVMAN_PROJECT"):
        return absolute(chosen)
    current = absolute(folder)
    while not _is_there(f"{current}/{PROJECT_FILE}"):
        parent = os.path.dirname(current)
        if parent == current:
            return None
        current = parent
    return current


def absolute(path: str) -> str:
    """A path from the root of the file system; raises SpecError where the current folder was deleted."""
    try:
        return os.path.abspath(path)
    except FileNotFoundError:
        remedy = "Go to another one, or name everything by absolute paths."
        raise SpecError(Problem("the current folder", "it was deleted", remedy)) from None


def _is_there(file: str) -> bool:
    try:
        os.lstat(file)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        remedy = "Check this user's rights to its folder, or set ENVMAN_ROOT."
        raise SpecError(Problem(file, f"can't be looked for: {error.strerror}", remedy)) from None
    return True


def _declared_root(project: str) -> str:
    file = f"{project}/{PROJECT_FILE}"
    text = _project_text(file)
    root = plain_root(text) or _parsed(text, file).get("root", "/venv")
    if not isinstance(root, str):
        raise SpecError(Problem(f"{file}: root", "is not a string", "Write a path in quotes."))
    if "\0" in root:
        raise SpecError(Problem(f"{file}: root", "holds a NUL character", "Write a path."))
    return os.path.normpath(os.path.join(project, root))


def declared_keys(project: str) -> dict[str, object]:
    """The keys of a project's file, as they are written; raises SpecError where it can't be read."""
    file = f"{project}/{PROJECT_FILE}"
    return _parsed(_project_text(file), file)


def _project_text(file: str) -> str:
    try:
        if stat.S_ISFIFO(os.stat(file).st_mode):
            raise ValueError("it is a pipe")  # whose end nobody may ever see
        with open(file, encoding="utf-8") as stream:
            text = stream.read(LARGEST_PROJECT + 1)
        if len(text) > LARGEST_PROJECT:
            raise ValueError(f"it has more than {LARGEST_PROJECT} characters")
    except (OSError, ValueError) as error:
        raise _unreadable(file, error) from None
    return text


def _unreadable(file: str, error: Exception) -> SpecError:
    return SpecError(Problem(file, f"can't be read: {error}", "Correct it, or set ENVMAN_ROOT."))


def plain_root(text: str) -> str | None:
    """The `root` of an envman.toml that begins with nothing but comments and plain strings; else None.

    Importing a TOML parser takes longer than all the rest of a launch. This reads the beginning of the file
    only as far as every line is a comment or `key = "plain string"`, where no reading but one is possible,
    and leaves every other file to the parser.
    """
    for line in text.split("\n"):
        stripped = line.strip(" \t\r")
        if not stripped or stripped.startswith("#"):
            continue
        key, equals, rest = stripped.partition("=")
        value, quote, behind = rest.strip(" \t")[1:].partition('"')
        plain = key.strip(" \t").replace("-", "").isalnum() and rest.strip(" \t").startswith('"')
        ended = behind.strip(" \t")
        if not (equals and plain and quote and value and "\\" not in value) or (ended and ended[0] != "#"):
            return None
        if key.strip(" \t") == "root":
            return value
    return None


def _parsed(text: str, file: str) -> dict[str, object]:
    try:
        import tomllib
    except ImportError:  # Python 3.10
        import tomli as tomllib

    try:
        keys: dict[str, object] = tomllib.loads(text)
        return keys
    except (ValueError, RecursionError) as error:
        raise _unreadable(file, error) from None


def take_snapshot(
    root: str, read_airflow: Callable[[], AirflowBundles], table: Table | None = None
) -> Snapshot:
    """What is published at this moment, or would be by a table; raises as `read_table` does.

    `read_airflow` is called at most once, and only if its answer counts.
    """
    path = layout.table_path(root)

    def read_generation(environment: str) -> str:
        return current_generation(root, environment)

    if table is not None:
        return Snapshot(root, table, read_airflow, read_generation)
    content, read = _published(root, path)
    return Snapshot(root, content, read_airflow, read_generation, lambda: _stamp(os.stat(path)) == read)


def read_table(root: str) -> Table:
    """The published table; raises ResolveError where nothing is published, StoreError where it is damaged,
    PolicyError where a policy stands and it is not signed.
    """
    return _published(root, layout.table_path(root))[0]


def _stamp(status: os.stat_result) -> tuple[int, int]:
    """What tells a file from the one that takes its place."""
    return status.st_ino, status.st_mtime_ns


def _published(root: str, path: str) -> tuple[Table, tuple[int, int]]:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0) as stream:
            content, stamp = stream.readall() or b"", _stamp(os.fstat(stream.fileno()))
    except FileNotFoundError:
        raise ResolveError(
            Problem(root, "no environments are published there", "Run: envman build")
        ) from None
    except OSError as error:
        what = f"the published table can't be read: {error}"
        raise StoreError(Problem(path, what, "Publish it anew: envman publish")) from None
    if policy := policy_file():
        from envman.store.signed import check_table  # what is needed where a policy stands, and only there

        check_table(policy, root, content)
    return Table(content, path), stamp


def current_generation(root: str, environment: str) -> str:
    """The identifier of the environment's current generation; raises ResolveError where it isn't built."""
    try:
        target = os.readlink(layout.link_path(root, environment))
    except OSError:
        what = f"it is declared, but not built in {root}"
        raise ResolveError(
            Problem(f"environment '{environment}'", what, f"Run: envman build {environment}")
        ) from None
    return target.rpartition("/")[2]
