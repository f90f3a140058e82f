"""Airflow's manager of parses, for bundles of strangers: what it looks at itself can't end or stop it."""

from __future__ import annotations

import hashlib
import math
import os
import secrets
import time
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import structlog
from airflow.dag_processing.manager import DagFileInfo, DagFileProcessorManager
from airflow.models.errors import ParseImportError
from airflow.utils.session import create_session
from sqlalchemy import delete
from sqlalchemy.exc import OperationalError

from envman.airflow.bundle_listing import BundleListing
from envman.airflow.heartbeats import BEATS
from envman.airflow.parse_order import Turns
from envman.airflow.partly_refused import PartlyRefused, keep_others
from envman.airflow.server_starts import ServerStarts
from envman.door.listing import Listing

log = structlog.get_logger(logger_name="envman.door")

RETRY = 60.0
"""Seconds until a bundle that could not be listed is listed again."""

LOOK_LIMIT = 0.2
"""Seconds in which it is found out which bundles can be listed; the others come in the next round."""

BLOCKED_LIMIT = 30.0
"""Seconds after which files are queued that have become due meanwhile: Airflow waits until the queue is
empty, and servers may start slowly.
"""

FOLDER = "."
"""What the import error of a bundle that can't be listed is of."""

LONGEST_CAUSE = 500
"""Characters of what a database says."""

TIMED_OUT = (
    "The parse of this file was ended after {seconds:g} s: [dag_processor] dag_file_processor_timeout. "
    "The Dags that were known stay as they are."
)
SHOWN = 3
"""Files that are named of those that are left out."""

_LONG_AGO = datetime.fromtimestamp(0, timezone.utc)
_SECRET = secrets.token_bytes(16)
"""No team can say which names come of it."""


class Listings:
    """Listings by bundle: those that wait for their turn, those that are being made, when one is made again,
    and what the last ones gave.
    """

    def __init__(self) -> None:
        self.waiting: dict[str, None] = {}
        self.pending: dict[str, BundleListing] = {}
        self.ending: list[BundleListing] = []
        self.rests: dict[str, float] = {}
        self.asked: set[str] = set()
        self.folders: dict[str, Path] = {}
        self.files: dict[str, set[DagFileInfo]] = {}
        self.places: dict[tuple[str, Path], list[str]] = {}

    def is_awaited(self, bundle: str) -> bool:
        """Whether a bundle is being listed, or will be when it is its turn."""
        return bundle in self.pending or bundle in self.waiting

    def is_left_alone(self, bundle: str) -> bool:
        """The same, or it will be listed again as that has failed."""
        return self.is_awaited(bundle) or bundle in self.rests

    def over(self) -> list[tuple[str, BundleListing]]:
        """The listings that have ended, taken out, by their bundles."""
        self.ending = [one for one in self.ending if not one.is_gone()]
        over = [bundle for bundle, listing in self.pending.items() if listing.is_over()]
        return [(bundle, self.pending.pop(bundle)) for bundle in over]

    def due(self, now: float) -> list[str]:
        """The bundles that are to be listed again."""
        due = [bundle for bundle, when in self.rests.items() if when <= now]
        for bundle in due:
            del self.rests[bundle]
        return due

    def end(self, listing: BundleListing) -> None:
        """End a listing's process, now or a little later."""
        listing.close()
        self.ending.append(listing)

    def keep(self, bundle: str, found: Listing) -> set[DagFileInfo]:
        """Keep what a bundle has; gives it as Airflow's manager has files."""
        for file in self.files.get(bundle, ()):
            self.places.pop(file.presence_key, None)
        files = self.files[bundle] = set()
        for path, places in found.files.items():
            info = DagFileInfo(rel_path=Path(path), bundle_name=bundle, bundle_path=self.folders[bundle])
            if places is not None:
                self.places[info.presence_key] = places
            files.add(info)
        return files


class BundleManager(DagFileProcessorManager):  # type: ignore[misc]  # Airflow is not there when types are checked
    """Lists a bundle by a process of its environment, while everything else goes on.

    Until the list is there, or where none can be had, the bundle's files and Dags are what they were.
    """

    versions: ClassVar[Mapping[str, str | None]] = {}
    """The versions of bundles that have them, as the manager at work knows them."""

    _blocked_since = math.inf
    """When everything in the queue began to wait for servers, by the monotonic clock."""

    @cached_property
    def _lists(self) -> Listings:
        return Listings()

    @cached_property
    def _turns(self) -> Turns:
        return Turns()

    @cached_property
    def _servers(self) -> ServerStarts:
        return ServerStarts(self.selector)

    def run(self) -> Any:
        """Run the loop; what says that it goes on says when each bundle's last parse ended."""
        BEATS.finished = self._finished
        BundleManager.versions = self._bundle_versions
        return super().run()

    def _finished(self) -> dict[str, datetime]:
        found: dict[str, datetime] = {}
        for file, stat in self._file_stats.items():
            if (ended := stat.last_finish_time) and ended > found.get(file.bundle_name, _LONG_AGO):
                found[file.bundle_name] = ended
        return found

    # listing bundles

    def should_skip_refresh(self, *, bundle: Any, **state: Any) -> bool:
        """Whether a bundle is left as it is: also while it is listed, or is to be again after a failure."""
        if self._lists.is_left_alone(bundle.name):
            if bundle.name in self._force_refresh_bundles:  # else this is asked all the time
                self._force_refresh_bundles.discard(bundle.name)
                self._lists.asked.add(bundle.name)
            return True
        return bool(super().should_skip_refresh(bundle=bundle, **state))

    def _find_files_in_bundle(self, bundle: Any) -> Any:
        """Have a bundle listed; gives what was known, as this Airflow has it."""
        self._lists.folders[bundle.name] = bundle.path
        self._lists.waiting[bundle.name] = None
        known = self._lists.files.get(bundle.name, set())
        return {*known} if hasattr(DagFileInfo, "definition_locs") else [file.rel_path for file in known]

    def _begin_listings(self) -> None:
        """Begin to list those bundles whose server is there, in the order in which they wait."""
        until = time.monotonic() + LOOK_LIMIT
        for name in [*self._lists.waiting]:
            if self._servers.is_ready(name):
                del self._lists.waiting[name]
                folder = os.fspath(self._lists.folders[name])
                self._lists.pending[name] = BundleListing(name, folder, self.selector)
            if time.monotonic() > until:
                break

    def deactivate_deleted_dags(self, bundle_name: str, present: set[DagFileInfo]) -> None:
        """Deactivate Dags of files that have gone, once it is known which those are."""
        if not self._lists.is_awaited(bundle_name):
            super().deactivate_deleted_dags(bundle_name=bundle_name, present=present)

    def clear_orphaned_import_errors(self, bundle_name: str, **observed: Any) -> None:
        """Clear the errors of files that have gone, once it is known which those are."""
        if not self._lists.is_awaited(bundle_name):
            super().clear_orphaned_import_errors(bundle_name=bundle_name, **observed)

    def handle_removed_files(self, known_files: dict[str, set[DagFileInfo]]) -> None:
        """Let go of files that have gone; of a bundle that was not listed yet nothing has."""
        listed = self._lists.files.keys()
        held = (*self._file_queue, *self._processors, *self._file_stats)
        kept = {file for file in held if file.bundle_name not in listed}
        super().handle_removed_files({**known_files, "": kept})

    def _get_observed_filelocs(self, present: set[DagFileInfo]) -> set[str]:
        places = self._lists.places
        return {
            place for file in present for place in (str(file.rel_path), *places.get(file.presence_key, ()))
        }

    def _refresh_dag_bundles(self, known_files: dict[str, set[DagFileInfo]]) -> None:
        taken = [self._take(name, listing, known_files) for name, listing in self._lists.over()]
        if any(taken):
            self.handle_removed_files(known_files=known_files)
            self._resort_file_queue()
            self._add_new_files_to_queue(known_files=known_files)
        due = self._lists.due(time.monotonic())
        self.request_bundle_refresh(due)
        super()._refresh_dag_bundles(known_files)
        self._lists.waiting.update(dict.fromkeys(due))  # Airflow lists no version twice
        self._begin_listings()
        if self._blocked_since < time.monotonic() - BLOCKED_LIMIT:
            self._blocked_since = time.monotonic()
            self.prepare_file_queue(known_files=known_files)

    def _take(self, name: str, over: BundleListing, known_files: dict[str, set[DagFileInfo]]) -> bool:
        """Take a bundle's new list, if there is one."""
        try:
            found = over.result()
        except Exception as error:  # noqa: BLE001  # whatever it is, it is this bundle's
            self._note_failure(name, str(error))
            return False
        finally:
            self._lists.end(over)
        if name in self._lists.asked:
            self._lists.asked.discard(name)
            self.request_bundle_refresh(name)
        if found.number_left_out:
            number, some = found.number_left_out, found.left_out
            log.warning("Files that no log or database can name", bundle=name, number=number, files=some)
        files = known_files[name] = self._lists.keep(name, found)
        self.deactivate_deleted_dags(bundle_name=name, present=files)
        observed = self._get_observed_filelocs(files)
        self.clear_orphaned_import_errors(bundle_name=name, observed_filelocs=observed)
        return True

    def _note_failure(self, name: str, why: str) -> None:
        """Say that a bundle can't be listed, in the log and as an import error; it is listed again later."""
        log.error("A bundle can't be listed", bundle=name, reason=why)
        self._lists.rests[name] = time.monotonic() + RETRY
        _write_error(name, FOLDER, why)

    # files and results

    def _start_new_processes(self) -> None:
        """Start parses: bundles take turns, and none waits for another's server; Airflow would start what has
        waited longest.
        """
        whole = self._parallelism
        free = whole - len(self._processors)
        if free <= 0:
            return
        chosen = self._turns.take(self._file_queue, self._processors, free, self._servers.is_ready)
        for file in reversed(chosen):
            self._file_queue.move_to_end(file, last=False)
        self._parallelism: int = len(self._processors) + len(chosen)  # the others stay in the queue
        try:
            super()._start_new_processes()
        except OSError:  # no descriptor or process is free: what runs goes on, and the file comes again
            log.exception("A parse can't be started")
        finally:
            self._parallelism = whole
        if len(chosen) == free or not self._file_queue:
            self._blocked_since = math.inf
        else:  # all that is left waits for servers
            self._blocked_since = min(self._blocked_since, time.monotonic())

    def _kill_timed_out_processors(self) -> None:
        """Kill parses that take too long: an import error of their files, where Airflow only logs it."""
        before = {**self._processors}
        super()._kill_timed_out_processors()
        for file in before.keys() - self._processors.keys():
            if not before[file].had_callbacks:
                why = TIMED_OUT.format(seconds=self.processor_timeout)
                _write_error(file.bundle_name, str(file.rel_path), why)

    def persist_parsing_result(
        self, *, parsing_result: Any, session: Any, relative_fileloc: str, **given: Any
    ) -> None:
        """Write a parse's result down; one that the database refuses twice is the file's import error."""
        given |= {"parsing_result": parsing_result, "session": session, "relative_fileloc": relative_fileloc}
        for is_last in (False, True):
            try:
                return self._persist(given)
            except OperationalError:  # of the database itself
                raise
            except Exception as error:  # noqa: BLE001  # drivers have errors of their own
                session.rollback()
                if is_last:  # else another Dag processor may have written the same at this moment
                    _make_an_error(parsing_result, relative_fileloc, error)
        try:
            self._persist(given)
        except Exception:
            session.rollback()
            raise

    def _persist(self, given: dict[str, Any]) -> None:
        super().persist_parsing_result(**given)
        if isinstance(result := given["parsing_result"], PartlyRefused):
            keep_others(result, given["bundle_name"], given["session"])

    def _sort_by_mtime(self, files: Iterable[DagFileInfo]) -> tuple[list[DagFileInfo], set[DagFileInfo]]:
        """Sort files, the latest first, and tell which have changed since they were parsed.

        What has no time that can be read is forgotten, as a file that isn't there.
        """
        times: dict[DagFileInfo, float] = {}
        gone: dict[tuple[str, Path], None] = {}
        for file in files:
            try:
                times[file] = datetime.fromtimestamp(
                    os.path.getmtime(file.absolute_path), timezone.utc
                ).timestamp()
            except (OSError, ValueError, OverflowError):
                gone[file.presence_key] = None
        if gone:
            shown = [str(path)[:LONGEST_CAUSE] for _, path in [*gone][:SHOWN]]
            log.warning("Files that are gone or have no time are left out", number=len(gone), files=shown)
            for file in [file for file in self._file_stats if file.presence_key in gone]:
                self._file_stats.pop(file)
        finished = {file.presence_key: stat.last_finish_time for file, stat in self._file_stats.items()}
        changed = set()
        for file, when in times.items():
            last = finished.get(file.presence_key)
            if last and when > last.timestamp():
                changed.add(file)
        return sorted(times, key=times.__getitem__, reverse=True), changed

    def _get_logger_for_dag_file(self, dag_file: DagFileInfo) -> Any:
        try:
            return super()._get_logger_for_dag_file(dag_file)
        except OSError:  # the log of `x.py` is where that of `x.py.log/y.py` would need a folder
            return super()._get_logger_for_dag_file(_with_another_name(dag_file))

    def max_runs_reached(self) -> bool:
        """Whether all files were parsed as often as they are to be."""
        works = self._lists.waiting or self._lists.pending or self._file_queue or self._processors
        return not works and bool(super().max_runs_reached())

    def terminate(self) -> None:
        """End all parses, and all listings."""
        self._lists.waiting.clear()
        while self._lists.pending:
            self._lists.end(self._lists.pending.popitem()[1])
        super().terminate()


def _write_error(bundle: str, file: str, text: str) -> None:
    """Write an import error down, in the place of an earlier one."""
    row = {"bundle_name": bundle, "filename": file, "stacktrace": text}
    try:
        with create_session() as session:
            where = (ParseImportError.bundle_name == bundle, ParseImportError.filename == file)
            session.execute(delete(ParseImportError).where(*where))
            session.add(ParseImportError(**row, timestamp=datetime.now(timezone.utc)))
    except Exception:
        log.exception("An import error can't be written", bundle=bundle, file=file)


def _make_an_error(result: Any, file: str, error: Exception) -> None:
    """Leave of a result that it could not be written, with what the driver said first."""
    said = str(error)
    first = (said.partition("Original exception was: ")[2] or said).partition("\n")[0][:LONGEST_CAUSE]
    why = f"What this file has could not be written to Airflow's database: {type(error).__name__}: {first}"
    log.warning("A result was refused by the database", file=file, reason=why)
    result.serialized_dags = []
    result.warnings = []
    result.import_errors = {file: why}


def _with_another_name(file: DagFileInfo) -> DagFileInfo:
    """A file whose log lies where no other's does."""
    digest = hashlib.blake2b(os.fsencode(file.rel_path), key=_SECRET, digest_size=16).hexdigest()
    return DagFileInfo(
        rel_path=Path(f"{digest}.py"), bundle_name=file.bundle_name, bundle_path=file.bundle_path
    )
