"""The interpreter of a bundle or an environment: held, so that its files stay there, and ready to start."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from envman.airflow.built_airflow import built_interpreter, check_airflow
from envman.airflow.own_variables import operators_variables
from envman.airflow.runtime import Runtime, runtime_of
from envman.confine import step
from envman.confine.cgroups import prepare
from envman.confine.step import refusal, variables_file
from envman.errors import Problem, ResolveError
from envman.inside.protocol import HELD_DESCRIPTOR, VARIABLES_DESCRIPTOR
from envman.launch.airflow_configuration import AirflowConfiguration
from envman.launch.process import check_held, hold_generation
from envman.launch.purpose import Purpose, purpose_of_bundle
from envman.resolver.snapshot import Snapshot
from envman.store import layout
from envman.store.root import find_root, take_snapshot

_LOOKS = 100
"""How often a workload looks again, as a table is published at the same moment."""


class BundleInterpreter:
    """A runtime whose generation is held: `held` is a descriptor with a lock that keeps its files there.

    The child inherits it, this process closes its own. `shared` are the bundle's shared folders, where it is
    there for one.
    """

    __slots__ = ("held", "runtime", "shared")

    def __init__(self, runtime: Runtime, held: int) -> None:
        self.runtime = runtime
        self.held = held
        self.shared: list[str] = []

    def spawn(
        self, arguments: list[str], places: Iterable[tuple[int, int]], seeded: bool, leads: bool = False
    ) -> int:
        """Start the interpreter with these arguments; `places` are descriptors and the numbers they get.

        `seeded` has the order of its sets be the generation's. `leads` has it lead a process group of its
        own, which is there when this returns. Returns the process ID; raises OSError, and ConfinementError
        where its limits can't be set, PolicyError where the policy refuses its files. It is
        posix_spawn because that neither copies this process's page tables nor runs Python before the exec.
        """
        runtime = self.runtime
        check_held(runtime.root, runtime.environment, runtime.generation, self.held, with_files=True)
        variables = {**runtime.variables, **(runtime.added if seeded else {})}
        command = [runtime.python, *arguments]
        copies = [(_out_of_the_way(source), number) for source, number in places]
        copies.append((_out_of_the_way(self.held), HELD_DESCRIPTOR))
        try:
            if runtime.is_confined():
                copies.append((_above(variables_file(variables)), VARIABLES_DESCRIPTOR))
                command = [*_confinement(runtime), *command]
                variables = {}
            return os.posix_spawn(
                command[0],
                command,
                variables,
                file_actions=[(os.POSIX_SPAWN_DUP2, source, number) for source, number in copies],
                setpgroup=0 if leads else os.getpgrp(),
            )
        finally:
            for source, _ in copies:
                os.close(source)

    def close(self) -> None:
        """Give this process's hold on the generation up; the child keeps its own."""
        os.close(self.held)


def _confinement(runtime: Runtime) -> list[str]:
    """The words that put a command into the environment's cgroups and give it its user."""
    held = prepare(runtime.environment, runtime.limits, own_user=runtime.user is not None)
    return step.command(
        sys.executable, runtime.environment, runtime.user, held.procs, held.rlimits, VARIABLES_DESCRIPTOR
    )


def _above(descriptor: int) -> int:
    """The descriptor moved above all numbers that a child gets."""
    try:
        return _out_of_the_way(descriptor)
    finally:
        os.close(descriptor)


def _out_of_the_way(descriptor: int) -> int:
    """A copy above all numbers that a child gets, so that placing one can't overwrite another."""
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, VARIABLES_DESCRIPTOR + 1)


def look() -> Snapshot:
    """What is published at this moment below the root folder that `envman launch` has set.

    Raises ResolveError, StoreError.
    """
    return take_snapshot(find_root(os.environ, None, "."), AirflowConfiguration(os.environ).bundles)


def acquire(snapshot: Snapshot, purpose: Purpose) -> BundleInterpreter:
    """Hold an environment's current generation; the caller closes what it gets.

    Raises ResolveError where the environment is not published or not built, holds another Airflow than this
    component's, or has a user that this process can't become; PolicyError where the policy refuses it.
    """
    environment = purpose.environment
    if snapshot.table.environment(environment) is None:
        remedy = "Publish envman.toml anew: envman build"
        raise ResolveError(Problem(f"environment '{environment}'", "is not published", remedy))
    user = snapshot.table.user(environment)
    if user and (why := refusal(*user)):
        what, _, remedy = why.partition("; ")
        raise ResolveError(Problem(f"environment '{environment}': user", what, remedy))
    generation, held = hold_generation(snapshot, environment)
    with _closed_on_error(held):
        check_held(snapshot.root, environment, generation, held, with_files=False)
        built = built_interpreter(layout.manifest_path(snapshot.root, generation))
        check_airflow(environment, built.airflow)
        return BundleInterpreter(runtime_of(snapshot, purpose, generation, operators_variables()), held)


@contextmanager
def _closed_on_error(descriptor: int) -> Iterator[None]:
    try:
        yield
    except BaseException:
        os.close(descriptor)
        raise


def acquire_for_bundle(snapshot: Snapshot, bundle: str) -> BundleInterpreter:
    """The interpreter of a bundle; raises an EnvmanError where it has none that can run its workloads."""
    shared = snapshot.table.shared(bundle)
    interpreter = acquire(snapshot, purpose_of_bundle(snapshot, bundle, os.environ))
    interpreter.shared = shared
    return interpreter


def of_bundle(bundle: str) -> BundleInterpreter:
    """The interpreter of a bundle as it is at this moment: the one look of a workload.

    Where a table was published between the look and the hold on the generation, it looks again: what a
    workload gets was all there at one moment. Raises as `acquire_for_bundle` does.
    """
    for _ in range(_LOOKS):
        snapshot = look()
        interpreter = acquire_for_bundle(snapshot, bundle)
        with _closed_on_error(interpreter.held):
            if snapshot.is_current():
                return interpreter
        interpreter.close()
    what = f"the table in {snapshot.root} was published {_LOOKS} times while a workload was about to start"
    raise ResolveError(Problem(f"bundle '{bundle}'", what, "Look at what publishes it so often."))
