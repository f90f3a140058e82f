"""In what a workload runs: its log's first line."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import asdict, dataclass
from typing import Any

from envman.airflow.built_airflow import built_interpreter
from envman.airflow.runtime import Runtime
from envman.store import layout


@dataclass(frozen=True)
class RunRecord:
    """Where a workload runs: `lock` is the digest of the pins that its generation was built from, `start` is
    'warm' (forked by a fork server), 'cold' (an interpreter of its own) or 'waiting' (for a server that is
    starting). What is not known is empty.
    """

    bundle: str
    bundle_version: str
    environment: str
    generation: str
    lock: str
    interpreter: str
    start: str
    host: str

    def say(self, logger: Any) -> None:
        """Write it into the workload's log; a log on a full disk keeps no workload from running."""
        fields = {key: value for key, value in asdict(self).items() if value and key != "environment"}
        with contextlib.suppress(Exception):
            logger.info(f"Runs in the environment {self.environment}", **fields)


def record_of(runtime: Runtime, bundle: str, bundle_version: str | None, start: str) -> RunRecord:
    """The record of a workload whose interpreter was just found; its manifest was read then, and is kept."""
    built = built_interpreter(layout.manifest_path(runtime.root, runtime.generation))
    return RunRecord(
        bundle=bundle,
        bundle_version=bundle_version or "",
        environment=runtime.environment,
        generation=runtime.generation,
        lock=built.lock,
        interpreter=built.words,
        start=start,
        host=socket.gethostname(),
    )
