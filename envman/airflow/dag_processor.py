"""The shared Dag processor: each file is parsed, and its callbacks run, by its bundle's interpreter."""

from __future__ import annotations

import os
from typing import Any

import structlog
from airflow.dag_processing import manager
from airflow.dag_processing.processor import DagFileParsingResult, DagFileProcessorProcess

from envman.airflow import dag_code, own_masks
from envman.airflow.bundle_interpreter import of_bundle
from envman.airflow.bundle_manager import BundleManager
from envman.airflow.checked_requests import CheckedRequests
from envman.airflow.child_start import BundleProcess, Start
from envman.airflow.dag_code import CodeSource
from envman.airflow.dag_owners import owned_elsewhere
from envman.airflow.ends import describe_end
from envman.airflow.other_languages import refused_file, refusing
from envman.airflow.partly_refused import PartlyRefused
from envman.airflow.runtime import Runtime
from envman.airflow.unreadable import refuse_unreadable
from envman.door.parse_result import AskedFile, own, refuse
from envman.door.rules import SHARED

log = structlog.get_logger(logger_name="envman.door")

OTHER_LANGUAGES = "LangSDKDagFileProcessorProcess"
"""What starts the parse of a file of another language, where Airflow knows such files."""


class ParseInBundle(CheckedRequests, DagFileProcessorProcess, BundleProcess):  # type: ignore[misc]
    """One parse. Where its interpreter can't be started or crashes, that is the file's import error."""

    parsing_result: Any
    rule = SHARED
    answers_itself = True
    asked: AskedFile
    bundle_folder: str

    @classmethod
    def start(cls, *, bundle_name: str, **arguments: Any) -> Any:  # type: ignore[override]
        """Start the parse of one file."""
        asked = arguments.get("callbacks") or ()
        version = asked[0].bundle_version if asked else BundleManager.versions.get(bundle_name)
        start = Start("parse", bundle_name, of_bundle, version=version)
        return cls._start(start, bundle_name=bundle_name, **arguments)

    @classmethod
    def _start(cls, start: Start, **arguments: Any) -> Any:
        process = super().start(start=start, **arguments)
        process.asked = AskedFile(os.fspath(arguments["path"]), arguments["dag_file_rel_path"])
        process.bundle_folder = os.fspath(arguments["bundle_path"])
        return process

    @property
    def is_ready(self) -> bool:
        """Whether the parse has ended and all its output was read."""
        ready: bool = super().is_ready
        if not ready:
            return False
        if self.parsing_result is None and self._is_the_files_fault():
            self._note_failure()
        if self.runtime and self.parsing_result is not None:
            try:
                self._own_result(self.runtime)
            except Exception:
                log.exception("A result was not taken; the file is parsed again", file=self.asked.path)
                self.parsing_result = None
        return True

    def _own_result(self, runtime: Runtime) -> None:
        """See that the result is of the file that was asked for, of this bundle, and can be read here."""
        result = self.parsing_result
        had_errors = bool(result.import_errors)
        own(result, self.asked)
        foreign = owned_elsewhere(self.bundle_name, [dag.dag_id for dag in result.serialized_dags])
        refuse(result, self.asked, foreign)
        refuse_unreadable(result, self.asked, runtime)
        if result.import_errors and not had_errors:
            self.parsing_result = PartlyRefused(**vars(result))
        CodeSource.current = CodeSource(self.asked, self.bundle_folder, runtime.user)

    def _is_the_files_fault(self) -> bool:
        """Whether it was a parse that failed, if only by `os._exit(0)`.

        Where a fork server has ended, the file is parsed again.
        """
        return not self.had_callbacks and not getattr(self._process, "lost", False)

    def _note_failure(self) -> None:
        self.parsing_result = DagFileParsingResult(
            fileloc=self.dag_file_rel_path,
            serialized_dags=[],
            import_errors={self.dag_file_rel_path: self._what_happened()},
        )

    def _what_happened(self) -> str:
        if self.refusal:
            return f"This file was not parsed.\n{self.refusal}"
        if self.breach:
            return f"The parse of this file was ended for what it has sent: {self.breach}"
        ended = describe_end(self._exit_code)
        reason = getattr(self._process, "reason", "")
        return (
            f"While it parsed this file, the interpreter of the bundle '{self.bundle_name}' {ended}.\n"
            f"{reason or 'What it wrote is in the log of this file that the Dag processor keeps.'}"
        )


class ParseOfOtherLanguage(ParseInBundle):
    """The parse of a file that Airflow 3.4 has a coordinator's runtime parse: refused, its import error."""

    @classmethod
    def start(cls, *, bundle_name: str, **arguments: Any) -> Any:  # type: ignore[override]
        """Start nothing but the refusal."""
        start = Start("parse", bundle_name, refusing(refused_file()))
        return cls._start(start, bundle_name=bundle_name, callbacks=[], **arguments)


def install() -> None:
    """Make Airflow's manager list and parse in the bundles' interpreters, and in no other runtime."""
    dag_code.install()
    own_masks.install()
    manager.DagFileProcessorManager = BundleManager
    manager.DagFileProcessorProcess = ParseInBundle
    if hasattr(manager, OTHER_LANGUAGES):
        setattr(manager, OTHER_LANGUAGES, ParseOfOtherLanguage)
