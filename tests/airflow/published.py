"""A root folder with built environments, Airflow's configuration, and an Airflow by its metadata alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from envman.resolver.table import render_table
from envman.store import layout

AIRFLOW = "3.3.2"
Record = tuple[str, str, str]

_watchers: list[Callable[[str], None]] = []


_busy: list[bool] = []


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _watchers and not _busy and isinstance(arguments[0], str):
        _busy.append(True)
        try:
            for watcher in tuple(_watchers):
                watcher(arguments[0])
        finally:
            _busy.clear()


_hooked: list[bool] = []


@contextmanager
def on_open(watcher: Callable[[str], None]) -> Iterator[None]:
    """Call a function with the path of each file that this process is about to open, but for its own.

    Python's audit hooks stay for good; this one does nothing without a watcher.
    """
    if not _hooked:
        _hooked.append(True)
        sys.addaudithook(_hook)
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


@contextmanager
def opened() -> Iterator[list[str]]:
    """The names of all files that are opened meanwhile."""
    names: list[str] = []
    with on_open(lambda path: names.append(Path(path).name)):
        yield names


class Published:
    """A root folder that a test publishes to as a build does: generations and links first, then the table."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "venv"
        (self.root / layout.STATE).mkdir(parents=True)
        self.airflow_home = folder / "airflow"
        self.airflow_home.mkdir()
        metadata = folder / "site/apache_airflow_core.dist-info/METADATA"
        metadata.parent.mkdir(parents=True)
        metadata.write_text(f"Metadata-Version: 2.1\nName: apache-airflow-core\nVersion: {AIRFLOW}\n")
        self.site = folder / "site"

    def variables(self) -> dict[str, str]:
        return {"ENVMAN_ROOT": str(self.root), "AIRFLOW_HOME": str(self.airflow_home)}

    def build(self, environment: str, generation: str, airflow: str | None = AIRFLOW) -> None:
        folder = Path(layout.generation_path(str(self.root), generation))
        folder.mkdir(parents=True, exist_ok=True)
        packages = {"apache-airflow-core": airflow} if airflow else {}
        interpreter = {"implementation": "CPython", "version": "3.12.1"}
        manifest = json.dumps({"interpreter": interpreter, "packages": packages})
        (folder / layout.MANIFEST).write_text(manifest)
        new = self.root / f".{environment}.new"
        new.symlink_to(layout.link_target(generation))
        new.replace(layout.link_path(str(self.root), environment))

    def publish(
        self,
        bundles: Mapping[str, tuple[str, str]],
        teams: Mapping[str, str],
        environments: Mapping[str, Mapping[str, str]],
        more: Sequence[Record] = (),
        default: str | None = None,
    ) -> None:
        declared = {name: ((), variables) for name, variables in environments.items()}
        new = self.root / layout.STATE / "table.new"
        new.write_text(render_table(bundles, teams, declared, default, more))
        new.replace(layout.table_path(str(self.root)))

    def configure(self, teams: Mapping[str, str | None]) -> None:
        """Write Airflow's configuration, with these bundles and their teams."""
        entries = [{"name": name, **({"team_name": team} if team else {})} for name, team in teams.items()]
        text = f"[dag_processor]\ndag_bundle_config_list = {json.dumps(entries)}\n"
        (self.airflow_home / "airflow.cfg").write_text(text)
