"""`envman bisect`: which of the packages that two generations differ by makes a command fail."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from envman.build.venv import said_by
from envman.errors import EnvmanError, ExitCode, PolicyError, Problem, ResolveError, StoreError, UsageError
from envman.launch.process import ProgramError, find_program, hold_generation
from envman.lock.lockfile import Pin, body_digest, parse_lock
from envman.names import nearest
from envman.packages.bisection import Found, Verdict, bisection, usual_trials
from envman.packages.installed import read_packages, site_packages
from envman.packages.moved import Moved, MovedGroup, moved_groups
from envman.resolver.snapshot import AirflowBundles, Snapshot
from envman.resolver.table import Table
from envman.resolver.variables import NO_BYTECODE, child_environment
from envman.signing.policy_file import policy_file
from envman.spec.load import load_inputs
from envman.spec.project import Environment
from envman.spec.workspace import Workspace
from envman.store import layout
from envman.store.folder import Store
from envman.store.manifest import Manifest
from envman.system.events import Event, Report, Stage
from envman.system.processes import Processes
from envman.usecases.mixed_sets import MixedSets

_VERDICTS = {0: Verdict.GOOD, 125: Verdict.SKIPPED}
"""What exit codes say, as with `git bisect run`: 125 is that a set can't be judged."""

_ABORTS = 128


@dataclass(frozen=True)
class BisectRequest:
    """The environment, its good and its bad generation (None: the current one), and the command."""

    environment: str
    good: str
    bad: str | None
    command: tuple[str, ...]


@dataclass(frozen=True)
class BisectStep:
    """A trial: how many packages were as in the bad generation, of all that differ, and what came of it."""

    what: str
    moved: tuple[str, ...]
    verdict: Verdict
    exit_code: int
    build_seconds: float | None
    run_seconds: float


@dataclass(frozen=True)
class BisectOutcome:
    """What makes the command fail.

    `culprits` are groups of packages: those of one group can't be told apart, as they only fit together;
    where there are several groups, it takes all of them. `needed` are packages that have to move with them,
    and do no harm. `suspects`: it is one of these, what could have told it was skipped. `interpreter`
    is the two base interpreters where these make the difference. `said` is what the command said as it failed
    last.
    """

    environment: str
    good: str
    bad: str
    command: tuple[str, ...]
    changed: int
    steps: tuple[BisectStep, ...]
    builds: int
    culprits: tuple[tuple[Moved, ...], ...]
    needed: tuple[Moved, ...]
    suspects: tuple[Moved, ...]
    interpreter: tuple[str, str] | None
    alone_untried: bool
    said: str

    @property
    def is_certain(self) -> bool:
        """Whether it is known what makes the difference."""
        return not self.suspects and not self.alone_untried


@dataclass(frozen=True)
class _Side:
    """One of the two generations: its manifest, its folder, its pins by package."""

    manifest: Manifest
    folder: Path
    pins: Mapping[str, Pin]


def bisect(workspace: Workspace, request: BisectRequest, sets: MixedSets, report: Report) -> BisectOutcome:
    """Search for the packages; each set is built by `sets`, tried and removed again.

    Raises UsageError, ResolveError and StoreError for generations that can't be compared, PolicyError where
    only signed ones may run, and EnvmanError where the good one isn't good, the bad one isn't bad, or the
    command ends with more than 127.
    """
    if policy := policy_file():
        what = "this host runs only what is signed, and a mixed set is nobody's"
        raise PolicyError(Problem(policy, what, "Run it on a host without a policy."))
    environment = workspace.choose([request.environment])[0]
    store = Store(workspace.project.root)
    good, bad = (_side(store, environment, name) for name in (request.good, request.bad))
    if good.manifest.generation == bad.manifest.generation:
        raise UsageError(Problem("--good", "is the same generation as --bad", "Name two."))
    trials = _Trials(workspace.processes, environment, request.command, report)
    with _held(workspace, environment.name, good, bad):
        trials.verify(good, Verdict.GOOD)
        trials.verify(bad, Verdict.BAD)
        return _Bisect(environment, good, bad, sets, trials, report).run(_asked(workspace, environment))


def _side(store: Store, environment: Environment, generation: str | None) -> _Side:
    """A generation as what is locked in it; raises ResolveError, StoreError."""
    name = generation or store.current_manifest(environment.name).generation
    manifest = store.manifest(name)
    if manifest is None:
        there = {one.generation for one in store.history(environment.name)}
        what = f"there is no such generation in {store.root}"
        remedy = f"{nearest(name, there)} See: envman history {environment.name}"
        raise ResolveError(Problem(f"generation '{name}'", what, remedy))
    folder = store.folder(name)
    file = folder / layout.LOCK_COPY
    lock = parse_lock(file.read_text(encoding="utf-8"), str(file), environment.name)
    if body_digest(lock.pins) != manifest.lock:
        remedy = f"Build it again: envman build {environment.name} --rebuild"
        raise StoreError(Problem(str(file), "is not the lock that the generation was made of", remedy))
    if lock.sources:
        what = f"holds code of the project's own: {', '.join(one.name for one in lock.sources)}"
        remedy = "No index has that, so no set with it can be made. Take it out of `sources`, and build both."
        raise UsageError(Problem(f"generation '{name}'", what, remedy))
    markers = manifest.interpreter.marker_environment()
    return _Side(manifest, folder, {pin.name: pin for pin in lock.pins if pin.applies(markers)})


def _asked(workspace: Workspace, environment: Environment) -> list[str]:
    """The requirements of the spec, for the extras that they name."""
    inputs, _ = load_inputs(workspace.files, environment, None)
    return [line for lines in inputs.requirements.values() for line in lines]


@contextmanager
def _held(workspace: Workspace, environment: str, *sides: _Side) -> Iterator[None]:
    """Keep `envman gc` from both generations."""
    table = Table(workspace.table())
    held: list[int] = []
    try:
        for side in sides:
            held.append(_hold(workspace.project.root, table, environment, side.manifest.generation))
        yield
    finally:
        for descriptor in held:
            os.close(descriptor)


def _hold(root: str, table: Table, environment: str, generation: str) -> int:
    def nobody() -> AirflowBundles:
        return AirflowBundles("", {})

    snapshot = Snapshot(root, table, nobody, lambda _: generation)
    return hold_generation(snapshot, environment)[1]


@dataclass
class _Trials:
    """Runs the command in environments, and keeps what came of it."""

    processes: Processes
    environment: Environment
    command: Sequence[str]
    report: Report

    def __post_init__(self) -> None:
        self.steps: list[BisectStep] = []
        self.said = ""

    def verify(self, side: _Side, wanted: Verdict) -> None:
        """See that a generation is as the user says; raises EnvmanError."""
        what = f"{wanted.value}: {side.manifest.generation}"
        verdict = self.run(what, side.folder, (), None)
        if verdict is not wanted:
            step = self.steps[-1]
            where = f"generation {side.manifest.generation}"
            told = f"is {verdict.value}, not {wanted.value}: the command ended with {step.exit_code} there"
            remedy = "Look at what it says, or name other generations: envman history"
            if self.said:
                told = f"{told}\n  {self.said}"
            raise EnvmanError(Problem(where, told, remedy))

    def run(self, what: str, folder: Path, moved: tuple[str, ...], build: float | None) -> Verdict:
        """Run the command in an environment; raises EnvmanError where it aborts the search."""
        self.report(Event(self.environment.name, Stage.CHECKING, what))
        started = time.monotonic()
        code = self._run(folder)
        verdict = Verdict.BAD
        if code in _VERDICTS:
            verdict = _VERDICTS[code]
        elif code >= _ABORTS:
            remedy = "Where that is the failure to look for: sh -c 'COMMAND || exit 1'"
            what = f"ended with {code}, which ends the search: {self.said}"
            raise EnvmanError(Problem(shlex.join(self.command), what, remedy))
        elapsed = time.monotonic() - started
        self.steps.append(BisectStep(what, moved, verdict, code, build, elapsed))
        return verdict

    def _run(self, folder: Path) -> int:
        declared, bin_folder = self.environment, f"{folder}/bin"
        variables = child_environment(os.environ, bin_folder, declared.keep_out, declared.set_variables)
        try:
            program = find_program(self.command[0], variables["PATH"], (bin_folder,), declared.name)
            command = [program, *self.command[1:]]
            finished = self.processes.run(command, variables | NO_BYTECODE, str(Path.cwd()))
        except ProgramError as error:
            self.said = str(error)
            return error.exit_code
        except OSError as error:
            self.said = f"{self.command[0]}: {error.strerror}"
            return ExitCode.NOT_EXECUTABLE
        if finished.exit_code not in _VERDICTS:
            self.said = said_by(finished)
        return finished.exit_code


@dataclass(frozen=True)
class _Bisect:
    """The search between two generations."""

    environment: Environment
    good: _Side
    bad: _Side
    sets: MixedSets
    trials: _Trials
    report: Report

    def run(self, asked: Sequence[str]) -> BisectOutcome:
        """Search; each set is gone before the next one is built."""
        interpreter = self.bad.manifest.interpreter
        names = self.good.manifest.interpreter.describe(), interpreter.describe()
        groups = self._groups(asked)
        if names[0] != names[1] and self._is_interpreter(groups, names[1]):
            return self._outcome(groups, Found(()), names)
        search = bisection([group.with_groups for group in groups])
        most = usual_trials(len(groups))
        try:
            wanted = next(search)
            while True:
                count = sum(len(groups[number].packages) for number in wanted)
                all_ = sum(len(group.packages) for group in groups)
                number = sum(step.build_seconds is not None for step in self.trials.steps) + 1
                what = f"build {number} of about {most}: {count} of {all_} packages as in the bad generation"
                wanted = search.send(self._try(groups, wanted, what))
        except StopIteration as stop:
            return self._outcome(groups, stop.value, None)

    def _is_interpreter(self, groups: Sequence[MovedGroup], name: str) -> bool:
        """Whether the good packages are bad under the bad interpreter, too; raises EnvmanError."""
        verdict = self._try(groups, frozenset(), f"{name}, good packages")
        if verdict is Verdict.SKIPPED:
            what = "the good packages were skipped under it, so nobody can tell it from the packages"
            remedy = "Let the command end with another exit code than 125 where it can tell."
            raise EnvmanError(Problem(name, what, remedy))
        return verdict is Verdict.BAD

    def _groups(self, asked: Sequence[str]) -> tuple[MovedGroup, ...]:
        old, new = (read_packages(site_packages(side.folder)) for side in (self.good, self.bad))
        groups = moved_groups(old, new, self.bad.manifest.interpreter.marker_environment(), asked)
        if not groups:
            what = "the two generations hold the same packages"
            remedy = "Look at what else differs: envman history, the base interpreter, files of the project."
            raise UsageError(Problem(f"environment '{self.environment.name}'", what, remedy))
        return groups

    def _try(self, groups: Sequence[MovedGroup], wanted: frozenset[int], what: str) -> Verdict:
        """Build the good set with some groups as in the bad one, and run the command in it."""
        moved = sorted(one.package for number in wanted for one in groups[number].packages)
        pins = {name: pin for name, pin in self.good.pins.items() if name not in moved}
        pins |= {name: self.bad.pins[name] for name in moved if name in self.bad.pins}
        started = time.monotonic()
        with self.sets.built(self.environment, pins.values(), self.bad.manifest.interpreter) as folder:
            return self.trials.run(what, folder, tuple(moved), time.monotonic() - started)

    def _outcome(
        self, groups: Sequence[MovedGroup], found: Found, interpreter: tuple[str, str] | None
    ) -> BisectOutcome:
        culprits = tuple(groups[number].packages for number in sorted(found.culprits))
        along = {one for number in found.culprits for one in groups[number].with_groups} - {*found.culprits}
        return BisectOutcome(
            environment=self.environment.name,
            good=self.good.manifest.generation,
            bad=self.bad.manifest.generation,
            command=tuple(self.trials.command),
            changed=sum(len(group.packages) for group in groups),
            steps=tuple(self.trials.steps),
            builds=sum(step.build_seconds is not None for step in self.trials.steps),
            culprits=culprits,
            needed=tuple(one for number in sorted(along) for one in groups[number].packages),
            suspects=tuple(one for number in found.suspects for one in groups[number].packages),
            interpreter=interpreter,
            alone_untried=found.alone_untried,
            said=self.trials.said,
        )
