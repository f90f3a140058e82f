"""Environments of any set of pinned packages, built beside everything else and removed again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from envman.build.generation_builder import BuildTools, GenerationBuilder
from envman.build.plan import Plan
from envman.lock.lockfile import Lock, Pin, body_digest, render
from envman.spec.project import Environment
from envman.store.folder import Store
from envman.store.manifest import BaseInterpreter
from envman.system.events import Event, Report, Stage


@dataclass(frozen=True)
class MixedSets:
    """Builds sets below a folder, in the way of generations, by a build's tools; none is ever published."""

    folder: Path
    tools: BuildTools
    report: Report
    _numbers: count[int] = field(default_factory=lambda: count(1))

    @contextmanager
    def built(
        self, environment: Environment, pins: Iterable[Pin], interpreter: BaseInterpreter
    ) -> Iterator[Path]:
        """A virtual environment with exactly these packages; it is gone when the context ends.

        Raises BuildError where one of them can't be had any more.
        """
        chosen = tuple(sorted(replace(pin, marker="") for pin in pins))
        text = render(Lock(environment.name, {}, chosen), environment.file)
        plan = Plan(
            environment=environment,
            lock_text=text,
            lock_text_digest="",
            lock_body=body_digest(chosen),
            packages={pin.name: pin.version for pin in chosen},
            interpreter=interpreter,
            options="",
            generation=f"set-{next(self._numbers)}",
        )
        store = Store(str(self.folder))
        with (
            store.locked(plan.generation) as held,
            GenerationBuilder(store, self.tools, held, self._said).tried_out(plan) as folder,
        ):
            yield folder

    def _said(self, event: Event) -> None:
        """A build's progress; that it is no generation's is known."""
        if event.warning or event.stage is Stage.INSTALLING:
            self.report(event)
