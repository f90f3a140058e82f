"""The files of a bundle's folder that the Dag processor would parse.

How they are found differs between Airflows; that stands here alone.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


class UnknownAirflowError(Exception):
    """An Airflow that finds Dag files in a way which is not known here."""


def dag_files(folder: str, bundle: str | None = None) -> list[str]:
    """The files below a folder, sorted, as the Dag processor finds them in this bundle (None: in any)."""
    return sorted(os.path.join(folder, path) for path in dag_places(folder, bundle))


def dag_places(folder: str, bundle: str | None = None) -> dict[str, list[str]]:
    """The same files, relative to the folder, each with the places in it where Dags may have been seen: those
    of an archive.
    """
    try:
        from airflow.sdk.importers import get_importer_registry
    except ImportError:
        return _before_importers(folder)
    from airflow.dag_processing.bundles.local import LocalDagBundle

    listed = get_importer_registry(bundle).list_dag_definitions(
        LocalDagBundle(name=bundle or "", path=folder), safe_mode=_safe_mode()
    )
    return _of_importers(listed, Path(folder))


def _of_importers(listed: Any, root: Path) -> dict[str, list[str]]:
    """As DagFileProcessorManager._find_files_in_bundle does: a file with several definitions, such as an
    archive, counts once; one that can't be read is parsed, too, and that says why.
    """
    from airflow.sdk.importers import DagImportError
    from airflow.utils.file import find_enclosing_file

    found: dict[str, dict[str, None]] = {}
    for _, item in listed:
        place = item.source_reference if isinstance(item, DagImportError) else item.get_relative_loc(root)
        path = Path(os.path.normpath(root / place))
        if path.is_relative_to(root) and (file := find_enclosing_file(path)) is not None:
            places = found.setdefault(str(file.relative_to(root)), {})
            if path != file:
                places[str(path.relative_to(root))] = None
    return {file: [*places] for file, places in found.items()}


def _before_importers(folder: str) -> dict[str, list[str]]:
    """The same on Airflow 3.3 and older, where a bundle has no importers."""
    try:
        from airflow.utils.file import list_py_file_paths
    except ImportError:
        what = "this Airflow has neither airflow.sdk.importers nor airflow.utils.file.list_py_file_paths"
        raise UnknownAirflowError(what) from None
    paths = [str(Path(file).relative_to(folder)) for file in list_py_file_paths(folder)]
    return {path: _within(folder, path) for path in paths}


def _within(folder: str, path: str) -> list[str]:
    """As DagFileProcessorManager._get_observed_filelocs finds them."""
    import zipfile

    whole = os.path.join(folder, path)
    if path.endswith(".py") or not zipfile.is_zipfile(whole):
        return []
    from airflow.utils.file import might_contain_dag

    safe_mode = _safe_mode()
    try:
        with zipfile.ZipFile(whole) as archive:
            names = [item.filename for item in archive.infolist()]
            return [str(Path(path, name)) for name in names if might_contain_dag(name, safe_mode, archive)]
    except zipfile.BadZipFile:
        return []


def _safe_mode() -> bool:
    from airflow.configuration import conf

    return bool(conf.getboolean("core", "dag_discovery_safe_mode", fallback=True))
