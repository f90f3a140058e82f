"""Do the same for several environments at once; one that fails leaves the others alone."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from envman.errors import EnvmanError, InterruptedByUserError, Problem
from envman.system.children import CHILDREN
from envman.system.events import Event, Report, Stage
from envman.system.files import file_problem

ResultT = TypeVar("ResultT")

_MOST_SAID = 500
"""Characters of an error that nobody has thought of."""


@dataclass(frozen=True)
class Outcomes(Generic[ResultT]):
    """What came out, in the order of the environments: results, and errors by environment."""

    results: tuple[ResultT, ...]
    errors: dict[str, EnvmanError]

    def problems(self) -> tuple[Problem, ...]:
        """All problems of all errors."""
        return tuple(problem for error in self.errors.values() for problem in error.problems)

    def raise_errors(self) -> None:
        """Raise one error with all problems, if there are any; its exit code is the first error's."""
        for error in self.errors.values():
            raise type(error)(self.problems())


def default_jobs() -> int:
    """How many environments are worked on at once: as many as this process may use processors."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def side_by_side(
    names: Iterable[str], work: Callable[[str], ResultT], jobs: int, report: Report
) -> Outcomes[ResultT]:
    """Run `work` for each environment, `jobs` at once.

    Whatever `work` raises is that environment's error, one that nobody has thought of, too: what a stranger's
    package brings about at one must not end the others. Raises InterruptedByUserError once the children have
    ended and all workers have cleaned up.
    """
    futures: dict[str, Future[ResultT]] = {}
    executor = ThreadPoolExecutor(max_workers=max(1, jobs))
    try:
        for name in names:
            futures[name] = executor.submit(_guarded, name, work, report)
        outcomes = _collected(futures)
        if outcomes.errors:
            CHILDREN.look_for_signals()  # which is what they may come from
        return outcomes
    except BaseException:
        CHILDREN.end_all()
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _collected(futures: dict[str, Future[ResultT]]) -> Outcomes[ResultT]:
    results: list[ResultT] = []
    errors: dict[str, EnvmanError] = {}
    for name, future in futures.items():
        try:
            results.append(future.result())
        except InterruptedByUserError:
            raise
        except EnvmanError as error:
            errors[name] = error
    return Outcomes(tuple(results), errors)


def _guarded(name: str, work: Callable[[str], ResultT], report: Report) -> ResultT:
    try:
        CHILDREN.look()
        return work(name)
    except InterruptedByUserError:
        raise
    except EnvmanError as error:
        report(Event(name, Stage.FAILED, str(error.problems[0].what).splitlines()[0]))
        raise type(error)(_with_name(name, problem) for problem in error.problems) from error
    except OSError as error:
        problem = file_problem(f"environment '{name}'", error)
        report(Event(name, Stage.FAILED, problem.what))
        raise EnvmanError(problem) from error
    except Exception as error:
        problem = _unexpected(name, error)
        report(Event(name, Stage.FAILED, problem.what))
        raise EnvmanError(problem) from error


def _unexpected(name: str, error: Exception) -> Problem:
    """An error that nobody has thought of: what it is, and the line of envman's that it comes from."""
    steps = traceback.extract_tb(error.__traceback__)
    last = [step for step in steps if f"{os.sep}envman{os.sep}" in step.filename][-1]
    said = " ".join(f"{type(error).__name__}: {error}".split())[:_MOST_SAID]
    what = f"{said} (in {os.path.basename(last.filename)}, line {last.lineno})"  # noqa: PTH119
    return Problem(f"environment '{name}'", what, "This is a defect of envman's: please report it.")


def _with_name(name: str, problem: Problem) -> Problem:
    """The problem with the environment's name, unless its place says it already."""
    if name in problem.where:
        return problem
    return Problem(f"environment '{name}': {problem.where}", problem.what, problem.remedy)
