"""`envman group`: the fewest environments that files' requirements fit into, and what splits them."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from envman.errors import EnvmanError, Problem, UnsatisfiableError
from envman.spec.merge import ENVIRONMENTS
from envman.spec.project import Environment
from envman.spec.values import DEFAULT_PLATFORMS, Platform
from envman.spec.workspace import Workspace, open_workspace
from envman.splitting.group_members import PYTHON, AskedLine, GroupMember, inputs_of, rule_each_other_out
from envman.splitting.group_search import (
    MOST_EXACT,
    MOST_QUESTIONS,
    FitAnswers,
    Grouping,
    Question,
    group,
    smallest_conflict,
)
from envman.splitting.group_specs import group_names, group_specs
from envman.splitting.written_files import write_new_files
from envman.system.events import Event, Report, Stage, silent
from envman.system.side_by_side import side_by_side
from envman.usecases.add_remove import alone
from envman.usecases.resolving import LockResolution, resolved_text
from envman.uv.runner import Source, Upgrade, Uv

WORK = "group"
"""What the progress of all resolutions is told of."""


@dataclass(frozen=True)
class GroupRequest:
    """Whose requirements, on which Pythons ('3.12'), for which platforms, with which Airflow.

    `no_build`: only wheels count.
    """

    members: tuple[GroupMember, ...]
    pythons: tuple[str, ...]
    airflow: str | None
    source: Source
    jobs: int
    no_build: bool = False
    platforms: tuple[Platform, ...] = DEFAULT_PLATFORMS


@dataclass(frozen=True)
class GroupedFiles:
    """An environment that some files fit into, and the Pythons of those asked for on which they do."""

    files: tuple[str, ...]
    pythons: tuple[str, ...]


@dataclass(frozen=True)
class ConflictingLine:
    """A line of a conflict, and the files that have it."""

    kind: str
    text: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class GroupSplit:
    """Why two groups (by number from 1) are no single one on these Pythons.

    `lines` conflict, and any of them left out no longer do; `explanation` is uv's for these alone.
    """

    groups: tuple[int, int]
    pythons: tuple[str, ...]
    lines: tuple[ConflictingLine, ...]
    explanation: str


@dataclass(frozen=True)
class UnfitFile:
    """A file that fits by itself on none of the Pythons, with what conflicts on one of them."""

    file: str
    python: str
    lines: tuple[ConflictingLine, ...]
    explanation: str


@dataclass(frozen=True)
class GroupOutcome:
    """The groups. `is_fewest`: there is no grouping with fewer, else there are at least `least`.

    `resolutions` counts how often uv resolved something.
    """

    groups: tuple[GroupedFiles, ...]
    is_fewest: bool
    least: int
    method: str
    splits: tuple[GroupSplit, ...]
    unfit: tuple[UnfitFile, ...]
    resolutions: int
    seconds: float
    written: tuple[str, ...] = ()

    def problems(self) -> list[Problem]:
        """Files that fit into no environment."""
        remedy = "Change one of these requirements, or pass another --python."
        return [
            Problem(one.file, f"fits on none of the Pythons; on {one.python}: {one.explanation}", remedy)
            for one in self.unfit
        ]


Asked = frozenset[AskedLine]


class _Resolver:
    """Asks uv, and remembers: the same lines on the same Python are resolved once."""

    def __init__(self, workspace: Workspace, request: GroupRequest, report: Report) -> None:
        self._workspace = workspace
        self._request = request
        self._report = report
        self._uv = Uv(workspace.processes, request.source)
        self._lock = threading.Lock()
        self._found: dict[tuple[Asked, str], str] = {}
        self.resolutions = 0

    def answer(self, answers: FitAnswers, questions: Collection[Question]) -> None:
        """Answer questions about members side by side; raises what a resolution raises but for a conflict."""
        members = self._request.members
        asked = {
            f"{' + '.join(members[one].file for one in sorted(which))} on Python {python}": (which, python)
            for which, python in questions
        }

        def work(name: str) -> tuple[Question, bool]:
            which, python = asked[name]
            lines = _lines(members, which)
            return (which, python), not (rule_each_other_out(lines) or self.said(lines, python, name))

        outcomes = side_by_side(asked, work, self._request.jobs, silent)
        outcomes.raise_errors()
        for (which, python), fits in outcomes.results:
            answers.note(which, python, fits)

    def said(self, lines: Iterable[AskedLine], python: str, name: str = "of the group") -> str:
        """uv's explanation why lines don't fit together, empty where they do; `name` is told in errors."""
        key = (frozenset(lines), python)
        with self._lock:
            if key in self._found:
                return self._found[key]
        said = self._resolved(sorted(key[0]), python, name)
        with self._lock:
            self._found[key] = said
            self.resolutions += 1
            self._report(Event(WORK, Stage.RESOLVING, f"{self.resolutions} sets of requirements"))
        return said

    def _resolved(self, lines: Sequence[AskedLine], python: str, name: str) -> str:
        inputs = inputs_of(lines, python, self._request.platforms, self._request.airflow)
        if inputs is None:
            return f"No version of Python {python} is allowed."
        environment = Environment(
            WORK, "", inputs.requires_python, self._request.platforms, (), airflow=bool(self._request.airflow)
        )
        required = self._workspace.project.sandbox_required
        resolution = LockResolution(self._workspace, environment, self._uv, silent, required)
        try:
            named = replace(inputs, environment=name, no_build=self._request.no_build)
            resolved_text(resolution, named, "", Upgrade())
        except UnsatisfiableError as error:
            return explanation(error)
        return ""

    def conflict(self, lines: Iterable[AskedLine], python: str) -> tuple[tuple[AskedLine, ...], str]:
        """The fewest of some conflicting lines that still conflict, and uv's explanation for those.

        Lines whose packages uv names come first: mostly they are all that is needed.
        """
        every = sorted(set(lines))
        said = self.said(every, python)
        named = [line for line in every if _is_named(line, said)]
        by_text = {f"{line.kind} {line.text}": line for line in every}

        def conflicts(texts: Sequence[str]) -> bool:
            return bool(texts) and bool(self.said([by_text[text] for text in texts], python))

        start = [f"{line.kind} {line.text}" for line in named]
        if not conflicts(start):
            start = [*by_text]
        least = [by_text[text] for text in smallest_conflict(start, conflicts)]
        return tuple(least), self.said(least, python)


def group_files(workspace: Workspace, request: GroupRequest, report: Report) -> GroupOutcome:
    """Group files' requirements; raises LockError where uv fails for another reason than a conflict."""
    started = time.monotonic()
    resolver = _Resolver(workspace, request, report)
    answers = FitAnswers(resolver.answer)
    found = group(len(request.members), request.pythons, answers)
    report(Event(WORK, Stage.CHECKING, "what splits them"))
    outcome = GroupOutcome(
        groups=tuple(
            GroupedFiles(tuple(request.members[one].file for one in sorted(which)), pythons)
            for which, pythons in found.groups
        ),
        is_fewest=found.is_fewest,
        least=found.least,
        method=_method(found, len(request.members)),
        splits=tuple(_splits(resolver, request, found, answers)),
        unfit=tuple(_unfit(resolver, request, found)),
        resolutions=resolver.resolutions,
        seconds=round(time.monotonic() - started, 1),
    )
    report(Event(WORK, Stage.DONE, f"{len(found.groups)} environments, {outcome.resolutions} resolutions"))
    return outcome


def _method(found: Grouping, count: int) -> str:
    if found.is_fewest:
        return "exact"
    if count > MOST_EXACT:
        return f"greedy: exact up to {MOST_EXACT} files, as groupings of {count} are too many to try"
    return f"ended after {MOST_QUESTIONS} resolutions: there may be a grouping with fewer"


def _lines(members: Sequence[GroupMember], which: Iterable[int]) -> list[AskedLine]:
    return [line for one in sorted(which) for line in members[one].lines]


def _splits(
    resolver: _Resolver, request: GroupRequest, found: Grouping, answers: FitAnswers
) -> Iterable[GroupSplit]:
    """For each two groups, what keeps them apart on each Python; the same reason is told once."""
    members = request.members
    for (first, (one, _)), (second, (other, _)) in combinations(enumerate(found.groups, 1), 2):
        told: dict[tuple[ConflictingLine, ...], tuple[list[str], str]] = {}
        for python in request.pythons:
            lines = _lines(members, _pair(answers, one, other, python))
            if not resolver.said(lines, python):
                continue
            least, said = resolver.conflict(lines, python)
            reason = tuple(_with_files(members, one | other, line) for line in least)
            told.setdefault(reason, ([], said))[0].append(python)
        for reason, (pythons, said) in told.items():
            yield GroupSplit((first, second), tuple(pythons), reason, said)


def _pair(answers: FitAnswers, one: frozenset[int], other: frozenset[int], python: str) -> list[int]:
    """Two files of two groups that are known to conflict, which are quickly explained; else all of both."""
    pairs = ([mine, theirs] for mine in sorted(one) for theirs in sorted(other))
    known = (pair for pair in pairs if answers.known(frozenset(pair), python) is False)
    return next(known, sorted(one | other))


def _unfit(resolver: _Resolver, request: GroupRequest, found: Grouping) -> Iterable[UnfitFile]:
    for one in found.misfits:
        member, python = request.members[one], request.pythons[0]
        least, said = resolver.conflict(member.lines, python)
        lines = tuple(_with_files(request.members, [one], line) for line in least)
        yield UnfitFile(member.file, python, lines, said)


def _with_files(members: Sequence[GroupMember], which: Iterable[int], line: AskedLine) -> ConflictingLine:
    files = tuple(members[one].file for one in sorted(which) if line in members[one].lines)
    return ConflictingLine(line.kind, line.text, files)


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def _is_named(line: AskedLine, said: str) -> bool:
    """Whether uv's explanation names the package of a line; Pythons always count as named."""
    if line.kind == PYTHON:
        return True
    match = _NAME.match(line.text)
    name = re.sub("[-_.]+", "-", match[0]).lower() if match else ""
    return bool(name) and re.search(f"(?<![a-z0-9-]){re.escape(name)}(?![a-z0-9-])", said.lower()) is not None


def explanation(error: EnvmanError) -> str:
    """uv's reason as sentences: without its drawing, and without what it was about to do."""
    text = " ".join(re.sub("[×╰─▶│├└┬]+", " ", error.problems[0].what).split())
    before, because, reason = text.partition("Because ")
    return f"{because}{reason}" if because else before.rpartition("cause: ")[2]


def write_groups(
    workspace: Workspace, request: GroupRequest, outcome: GroupOutcome, prefix: str
) -> tuple[str, ...]:
    """Write a spec for each group, with the first Python that it fits on; raises UsageError for what is
    there already, SpecError for what would be no project.
    """
    by_file = {member.file: member for member in request.members}
    groups = [([by_file[file] for file in one.files], one.pythons[0]) for one in outcome.groups]
    names = group_names([one.files for one in outcome.groups], prefix)
    texts = group_specs(workspace.files.directory, groups, names)
    open_workspace(workspace.files.directory, texts)
    (workspace.files.directory / ENVIRONMENTS).mkdir(exist_ok=True)
    with alone(workspace):
        write_new_files(workspace.files.directory, texts, {})
    return tuple(texts)
