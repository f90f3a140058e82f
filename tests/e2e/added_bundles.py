"""What some modules add to the estate's bundles: Dags with deadlines, and a bundle in a git repository."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.conftest import Estate

DEADLINE = '''
"""A deadline that passes at once; the run goes on until its callback has run."""
from datetime import datetime, timedelta
from pathlib import Path

from airflow.sdk import DAG, AsyncCallback, DeadlineAlert, DeadlineReference, SyncCallback, task
import json, os, sys, time

NOTE = Path(os.environ["E2E_NOTES"]) / "alert_{kind}_{letter}"


def alert(when=None, context=None):
    note = {{"python": "{{}}.{{}}".format(*sys.version_info[:2]), "when": str(when), "type": type(when).__name__}}
    NOTE.with_suffix(".new").write_text(json.dumps(note))
    NOTE.with_suffix(".new").replace(NOTE)


CALLBACKS = {{
    "sync": SyncCallback(alert, {{"when": datetime(2026, 1, 1)}}),
    "async": AsyncCallback("envman_e2e_{letter}.late", {{}}),
}}
passed = DeadlineAlert(
    reference=DeadlineReference.DAGRUN_QUEUED_AT, interval=timedelta(seconds=1), callback=CALLBACKS["{kind}"]
)

with DAG("{kind}_{letter}", schedule=None, deadline=passed):

    @task
    def slow():
        while not NOTE.exists():
            time.sleep(0.1)

    slow()
'''


@contextmanager
def deadlines(estate: Estate, kind: str) -> Iterator[None]:
    """While inside, bundles a and b have a Dag whose callback runs in the executor (sync) or the triggerer (async)."""
    files = {letter: estate.folder / f"bundles/bundle_{letter}/deadline.py" for letter in ("a", "b")}
    for letter, file in files.items():
        file.write_text(DEADLINE.format(kind=kind, letter=letter))
    try:
        yield
    finally:
        for file in files.values():  # the estate is that of all modules
            file.unlink()


class GitBundle:
    """The bundle bundle_d, in a repository: `files` gives those of a version."""

    def __init__(self, folder: Path, files: Callable[[str], Mapping[str, str]]) -> None:
        self.folder = folder
        self._files = files
        folder.mkdir()
        self._git("init", "--quiet", "--initial-branch=main")

    def commit(self, version: str) -> None:
        for name, text in self._files(version).items():
            (self.folder / name).write_text(text)
        self._git("add", ".")
        self._git("commit", "--quiet", "--message", version)

    def entry(self) -> dict[str, object]:
        """It in Airflow's list of bundles."""
        kwargs = {"tracking_ref": "main", "repo_url": str(self.folder), "refresh_interval": 1}
        return {
            "name": "bundle_d",
            "classpath": "airflow.providers.git.bundles.git.GitDagBundle",
            "kwargs": kwargs,
        }

    def _git(self, *words: str) -> None:
        who = ["-c", "user.name=e2e", "-c", "user.email=e2e@example.com"]
        subprocess.run(["git", "-C", self.folder, *who, *words], check=True)
