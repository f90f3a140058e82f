"""The files of a project as they are in a revision of its git. Only read: by plumbing that writes nothing."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from envman.errors import Problem, UsageError
from envman.spec.load import LARGEST_FILE, PROJECT_FILE
from envman.spec.merge import ENVIRONMENTS
from envman.system.child_process import Finished
from envman.system.processes import Processes

_PLACES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_NAMESPACE", "GIT_COMMON_DIR")
"""Variables that git's hooks get, and that would lead to another repository than the project's own."""

_NOTHING_WRITTEN = {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"}
"""git takes no lock of its index, and fetches no object that a partial clone lacks; an older git doesn't know
the second one, so `protocol.allow` says it, too.
"""

_TRUST = re.compile("git config --global --add safe.directory .+")
"""What git says to do about a repository of another user's."""

_FILES = {"100644", "100755"}


@dataclass(frozen=True)
class TreeEntry:
    """A file of a revision: its object's name, and its size in bytes."""

    identifier: str
    size: int


@dataclass(frozen=True)
class Revision:
    """A revision of the git that a project stands in: `name` as it was given, `commit` in hexadecimal.

    `locks` are the lock files that stand beside their specs, by environment, `dev_locks` those of dev
    overlays; `has_project` says whether there was a project in this folder at all.
    """

    name: str
    commit: str
    folder: str
    has_project: bool
    locks: dict[str, TreeEntry]
    dev_locks: dict[str, TreeEntry]

    def read_lock(self, environment: str, processes: Processes, dev: bool = False) -> str:
        """The text of a lock; raises UsageError where it is not there, as in a partial clone."""
        entry = (self.dev_locks if dev else self.locks)[environment]
        where = f"{ENVIRONMENTS}/{environment}.{'dev-lock' if dev else 'lock'} in {self.name}"
        if entry.size > LARGEST_FILE:
            raise UsageError(
                Problem(where, f"has more than {LARGEST_FILE:,} bytes", "No lock is that large.")
            )
        finished = _git(processes, self.folder, "cat-file", "blob", entry.identifier)
        if finished.exit_code:
            remedy = f"Fetch it: git cat-file blob {entry.identifier} > /dev/null"
            raise UsageError(Problem(where, f"git does not have it: {_said(finished)}", remedy))
        return finished.stdout


def open_revision(project: str, name: str, processes: Processes) -> Revision:
    """Find a revision of the git that a project's folder is in; raises UsageError."""
    where = f"--git {name}"
    if not name or name.startswith("-") or not name.isprintable():
        raise UsageError(Problem(where, "is not the name of a revision", "Write one such as 'main'."))
    try:
        inside = _git(processes, project, "rev-parse", "--is-shallow-repository")
    except FileNotFoundError:
        raise UsageError(Problem("git", "is not installed", "Install git.")) from None
    if inside.exit_code:
        remedy = "Run it in a clone of the project's git, or compare two environments: envman diff A B"
        if trust := _TRUST.search(inside.stderr):
            remedy = f"If you trust whoever may write there: {trust[0]}"
        raise UsageError(Problem(project, f"git can't be read there: {_said(inside)}", remedy))
    found = _git(processes, project, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    commit = found.stdout.strip()
    if found.exit_code or not commit:
        raise UsageError(_unknown(name, project, inside.stdout.strip() == "true", processes))
    listed = _git(processes, project, "ls-tree", "-z", "-l", commit, "--", PROJECT_FILE, f"{ENVIRONMENTS}/")
    if listed.exit_code:
        remedy = "The clone lacks a part of it: git fetch --refetch"
        raise UsageError(Problem(where, f"can't be listed: {_said(listed)}", remedy))
    files = _entries(listed.stdout)
    locks, dev_locks = (_beside_specs(files, suffix) for suffix in (".lock", ".dev-lock"))
    return Revision(name, commit, project, PROJECT_FILE in files, locks, dev_locks)


def _beside_specs(files: dict[str, TreeEntry], suffix: str) -> dict[str, TreeEntry]:
    return {
        path.removeprefix(f"{ENVIRONMENTS}/").removesuffix(suffix): entry
        for path, entry in files.items()
        if path.endswith(suffix) and f"{path.removesuffix(suffix)}.toml" in files
    }


def _entries(text: str) -> dict[str, TreeEntry]:
    """Regular files by path relative to the folder, of `git ls-tree -z -l`."""
    found = {}
    for line in text.split("\0"):
        facts, _, path = line.partition("\t")
        words = facts.split()
        if len(words) == 4 and words[0] in _FILES and words[3].isdigit():  # mode, type, name, size
            found[path] = TreeEntry(words[2], int(words[3]))
    return found


def _unknown(name: str, project: str, shallow: bool, processes: Processes) -> Problem:
    remotes = _git(processes, project, "for-each-ref", "--format=%(refname:short)", "refs/remotes")
    of_a_remote = [one for one in remotes.stdout.split() if one.partition("/")[2] == name]
    if of_a_remote:
        what = "this clone has no revision of that name"
        return Problem(f"--git {name}", what, f"Name the remote's: --git {shlex.quote(of_a_remote[0])}")
    if shallow:
        what = "this clone is shallow, and does not have that revision"
        remedy = f"Fetch it: git fetch --depth=1 origin {shlex.quote(name)}; then: --git FETCH_HEAD"
        if "~" in name or "^" in name:
            remedy = "Fetch more of the history: git fetch --deepen=10"
        return Problem(f"--git {name}", what, remedy)
    what = "this clone has no revision of that name"
    if "~" in name or "^" in name:
        return Problem(f"--git {name}", what, "Look for one that is there: git log --oneline")
    remedy = f"Fetch it: git fetch origin {shlex.quote(name)}; then: --git FETCH_HEAD"
    return Problem(f"--git {name}", what, remedy)


def _git(processes: Processes, folder: str, *arguments: str) -> Finished:
    environment = {key: value for key, value in os.environ.items() if key not in _PLACES}
    command = ["git", "-c", "protocol.allow=never", "--no-pager", "--literal-pathspecs", *arguments]
    return processes.run(command, {**environment, **_NOTHING_WRITTEN, "LC_ALL": "C"}, str(Path(folder)))


def _said(finished: Finished) -> str:
    lines = (finished.stderr or finished.stdout).strip().splitlines()
    return lines[0].removeprefix("fatal: ") if lines else f"it ended with {finished.exit_code}"
