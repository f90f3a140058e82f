"""Airflow's manager of parses, for bundles of strangers: what it looks at itself can't end or stop it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

import structlog
from airflow.dag_processing.manager import DagFileInfo, DagFileProcessorManager
from airflow.models.errors import ParseImportError
from airflow.utils.session import create_session
from sqlalchemy import delete
from sqlalchemy.exc import OperationalError

from envman.airflow.bundle_listing import BundleListing, ListingError
from envman.door.listing import Listing

log = structlog.get_logger(logger_name="envman.door")

RETRY = 60.0
"""Seconds until a bundle that could not be listed is listed again."""

FOLDER = "."
"""What the import error of a bundle that can't be listed is of."""

LONGEST_CAUSE = 500
"""Characters of what a database says."""

SHOWN = 3
"""Files that are named of those that nobody can keep."""


class Listings:
    """Listings by bundle: those that are being made, when one is made again, and what the last ones gave."""

    def __init__(self) -> None:
        self.pending: dict[str, BundleListing] = {}
        self.rests: dict[str, float] = {}
        self.folders: dict[str, Path] = {}
        self.files: dict[str, set[DagFileInfo]] = {}
        self.places: dict[tuple[str, Path], list[str]] = {}

    def is_left_alone(self, bundle: str) -> bool:
        """Whether a bundle is being listed, or will be again as that has failed."""
        return bundle in self.pending or bundle in self.rests

    def due(self, now: float) -> list[str]:
        """The bundles that are to be listed again."""
        due = [bundle for bundle, when in self.rests.items() if when <= now]
        for bundle in due:
            del self.rests[bundle]
        return due

    def keep(self, bundle: str, found: Listing) -> set[DagFileInfo]:
        """Keep what a bundle has; gives it as Airflow's manager has files."""
        for file in self.files.get(bundle, ()):
            self.places.pop(file.presence_key, None)
        files = self.files[bundle] = set()
        for path, places in found.files.items():
            info = DagFileInfo(rel_path=Path(path), bundle_name=bundle, bundle_path=self.folders[bundle])
            self.places[info.presence_key] = places
            files.add(info)
        return files


class BundleManager(DagFileProcessorManager):  # type: ignore[misc]  # Airflow is not there when types are checked
    """Lists a bundle by a process of its environment, while everything else goes on.

    Until the list is there, or where none can be had, the bundle's files and Dags are what they were.
    """

    @cached_property
    def _lists(self) -> Listings:
        return Listings()

    def should_skip_refresh(self, *, bundle: Any, **state: Any) -> bool:
        """Whether a bundle is left as it is: also while it is listed, or is to be again after a failure."""
        left = self._lists.is_left_alone(bundle.name)
        return left or bool(super().should_skip_refresh(bundle=bundle, **state))

    def _find_files_in_bundle(self, bundle: Any) -> Any:
        """Begin to list a bundle; gives what was known, as this Airflow has it."""
        self._lists.folders[bundle.name] = bundle.path
        self._list(bundle.name)
        known = self._lists.files.get(bundle.name, set())
        return {*known} if hasattr(DagFileInfo, "definition_locs") else [file.rel_path for file in known]

    def _list(self, name: str) -> None:
        folder = os.fspath(self._lists.folders[name])
        self._lists.pending[name] = BundleListing(name, folder, self.selector)

    def deactivate_deleted_dags(self, bundle_name: str, present: set[DagFileInfo]) -> None:
        """Deactivate Dags of files that have gone, once it is known which those are."""
        if bundle_name not in self._lists.pending:
            super().deactivate_deleted_dags(bundle_name=bundle_name, present=present)

    def clear_orphaned_import_errors(self, bundle_name: str, **observed: Any) -> None:
        """Clear the errors of files that have gone, once it is known which those are."""
        if bundle_name not in self._lists.pending:
            super().clear_orphaned_import_errors(bundle_name=bundle_name, **observed)

    def _get_observed_filelocs(self, present: set[DagFileInfo]) -> set[str]:
        return {place for file in present for place in self._lists.places.get(file.presence_key, ())}

    def _refresh_dag_bundles(self, known_files: dict[str, set[DagFileInfo]]) -> None:
        over = [name for name, listing in self._lists.pending.items() if listing.is_over()]
        taken = [self._take(name, self._lists.pending.pop(name), known_files) for name in over]
        if any(taken):
            self.handle_removed_files(known_files=known_files)
            self._resort_file_queue()
            self._add_new_files_to_queue(known_files=known_files)
            for files in known_files.values():
                for file in files:
                    self._file_stats[file]  # it counts as not yet parsed from now on
        due = self._lists.due(time.monotonic())
        self.request_bundle_refresh(due)
        super()._refresh_dag_bundles(known_files)
        for name in due:
            if name not in self._lists.pending:  # Airflow lists no version twice
                self._list(name)

    def _take(self, name: str, ended: BundleListing, known_files: dict[str, set[DagFileInfo]]) -> bool:
        """Take a bundle's new list, if there is one."""
        try:
            found = ended.result()
        except ListingError as error:
            self._note_failure(name, str(error))
            return False
        if found.left_out:
            shown = [one[:100] for one in found.left_out[:SHOWN]]
            log.warning(
                "Files that no log or database can name", bundle=name, number=len(found.left_out), files=shown
            )
        files = known_files[name] = self._lists.keep(name, found)
        self.deactivate_deleted_dags(bundle_name=name, present=files)
        self.clear_orphaned_import_errors(
            bundle_name=name, observed_filelocs=self._get_observed_filelocs(files)
        )
        return True

    def persist_parsing_result(
        self, *, parsing_result: Any, session: Any, relative_fileloc: str, **given: Any
    ) -> None:
        """Write a parse's result down; one that the database refuses is the file's import error."""
        given |= {"parsing_result": parsing_result, "session": session, "relative_fileloc": relative_fileloc}
        try:
            super().persist_parsing_result(**given)
        except OperationalError:  # of the database itself: Airflow tries again
            raise
        except Exception as error:  # noqa: BLE001  # drivers have errors of their own
            session.rollback()
            why = f"What this file has could not be written to Airflow's database: {_first_cause(error)}"
            parsing_result.serialized_dags = []
            parsing_result.warnings = []
            parsing_result.import_errors = {relative_fileloc: why}
            log.warning("A result was refused by the database", file=relative_fileloc, reason=why)
            super().persist_parsing_result(**given)

    def _note_failure(self, name: str, why: str) -> None:
        """Say that a bundle can't be listed, in the log and as an import error; it is listed again later."""
        log.error("A bundle can't be listed", bundle=name, reason=why)
        self._lists.rests[name] = time.monotonic() + RETRY
        try:
            with create_session() as session:
                where = (ParseImportError.bundle_name == name, ParseImportError.filename == FOLDER)
                session.execute(delete(ParseImportError).where(*where))
                session.add(
                    ParseImportError(
                        bundle_name=name,
                        filename=FOLDER,
                        stacktrace=why,
                        timestamp=datetime.now(timezone.utc),
                    )
                )
        except Exception:
            log.exception("The import error of a bundle can't be written", bundle=name)

    def _sort_by_mtime(self, files: Iterable[DagFileInfo]) -> Any:
        """Sort files; one whose time can't be read for any reason counts as gone, as one that isn't there."""
        files = [file for file in files if _has_a_time(file)]
        while True:
            try:
                return super()._sort_by_mtime(files)
            except OSError as error:  # a link has become a loop at this moment
                left = [file for file in files if os.fspath(file.absolute_path) != error.filename]
                if len(left) == len(files):
                    raise
                files = left

    def _get_logger_for_dag_file(self, dag_file: DagFileInfo) -> Any:
        try:
            return super()._get_logger_for_dag_file(dag_file)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            # the log of `x.py` is where that of `x.py.log/y.py` would need a folder
            return super()._get_logger_for_dag_file(_with_another_name(dag_file))

    def max_runs_reached(self) -> bool:
        """Whether all files were parsed as often as they are to be."""
        return not self._lists.pending and bool(super().max_runs_reached())

    def terminate(self) -> None:
        """End all parses, and all listings."""
        while self._lists.pending:
            self._lists.pending.popitem()[1].close()
        super().terminate()


def _first_cause(error: Exception) -> str:
    """What the database's driver said first, without the statement."""
    said = str(error)
    first = (said.partition("Original exception was: ")[2] or said).partition("\n")[0]
    return f"{type(error).__name__}: {first[:LONGEST_CAUSE]}"


def _has_a_time(file: DagFileInfo) -> bool:
    try:
        os.stat(file.absolute_path)
    except FileNotFoundError:  # Airflow says so
        return True
    except OSError:
        return False
    return True


def _with_another_name(file: DagFileInfo) -> DagFileInfo:
    """A file whose log lies beside all others."""
    name = os.fspath(file.rel_path).replace("/", "__")[-200:]
    return DagFileInfo(
        rel_path=Path(f"__logs__/{name}"), bundle_name=file.bundle_name, bundle_path=file.bundle_path
    )
