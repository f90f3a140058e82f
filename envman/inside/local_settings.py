"""Whether `airflow_local_settings` can be imported: whatever imports Airflow imports it, everywhere."""

from __future__ import annotations

import os
import traceback
from importlib import import_module

NAME = "airflow_local_settings"


def failure() -> str:
    """Its file, and why it can't be imported; empty where it can be, or is not there."""
    try:
        import_module("airflow.settings")
    except BaseException as error:  # noqa: BLE001  # it is a file of the deployment's
        frames = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
        files = [*frames, getattr(error, "filename", None) or ""]
        if file := next((one for one in files if f"/{NAME}" in one), ""):
            return f"{os.path.realpath(file)} can't be imported: {type(error).__name__}: {error}"
    return ""
