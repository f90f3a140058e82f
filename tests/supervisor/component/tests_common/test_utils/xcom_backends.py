"""XCom backends that a test imports."""

from __future__ import annotations

from typing import Any

from airflow.sdk.bases.xcom import BaseXCom


class SerializeValueOnlyXCom(BaseXCom):  # type: ignore[misc]
    """One that knows the value alone, as backends from before Airflow 3 may."""

    @staticmethod
    def serialize_value(value: Any) -> Any:
        return BaseXCom.serialize_value(value)
