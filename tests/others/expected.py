"""The differences that are known, each with its reason."""

from __future__ import annotations

from tests.others.comparison import Expected
from tests.others.rows import QUERIES

LEAN = (
    "the Dag has a pod_override, and the components' environment has no kubernetes, which they would need to read "
    "the Dag: the file has an import error that says so"
)
NEED_KUBERNETES = ("example_kubernetes_executor", "example_local_kubernetes_executor")

EXPECTED: tuple[Expected, ...] = (
    *(Expected(table, f"{dag}*", "", LEAN) for dag in NEED_KUBERNETES for table in QUERIES),
    *(Expected("import errors", f"airflow {dag}.py", "", LEAN) for dag in NEED_KUBERNETES),
)
