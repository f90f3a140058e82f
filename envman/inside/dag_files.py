"""The files of a bundle's folder that the Dag processor would parse.

How they are found differs between Airflows; that stands here alone.
"""

from __future__ import annotations

import os
from pathlib import Path


class UnknownAirflowError(Exception):
    """An Airflow that finds Dag files in a way which is not known here."""


def dag_files(folder: str, bundle: str | None = None) -> list[str]:
    """The files below a folder, sorted, as the Dag processor finds them in this bundle (None: in any)."""
    try:
        from airflow.sdk.importers import get_importer_registry
    except ImportError:
        return _before_importers(folder)
    from airflow.configuration import conf
    from airflow.dag_processing.bundles.local import LocalDagBundle
    from airflow.sdk.importers import DagImportError
    from airflow.utils.file import find_enclosing_file

    # as DagFileProcessorManager._find_files_in_bundle does: a file with several definitions, such as an
    # archive, counts once; one that can't be read is parsed, too, and that says why
    root = Path(folder)
    listed = get_importer_registry(bundle).list_dag_definitions(
        LocalDagBundle(name=bundle or "", path=folder),
        safe_mode=conf.getboolean("core", "dag_discovery_safe_mode", fallback=True),
    )
    found = set()
    for _, item in listed:
        place = item.source_reference if isinstance(item, DagImportError) else item.get_relative_loc(root)
        path = Path(os.path.normpath(root / place))
        if path.is_relative_to(root) and (file := find_enclosing_file(path)) is not None:
            found.add(str(file))
    return sorted(found)


def _before_importers(folder: str) -> list[str]:
    """The same on Airflow 3.3 and older, where a bundle has no importers."""
    try:
        from airflow.utils.file import list_py_file_paths
    except ImportError:
        what = "this Airflow has neither airflow.sdk.importers nor airflow.utils.file.list_py_file_paths"
        raise UnknownAirflowError(what) from None
    return sorted(str(file) for file in list_py_file_paths(folder))
