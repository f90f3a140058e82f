"""What a fork server preloads of real packages: pandas beside pyarrow, whose allocator would start a thread."""

from __future__ import annotations

import pytest

from tests.conftest import Deployment
from tests.integration.test_preload import AIRFLOW, modules
from tests.wheels import make_wheel

pytestmark = pytest.mark.registry


def test_pandas_can_be_preloaded_beside_pyarrow_and_polars_says_why_not(
    registry_deployment: Deployment,
) -> None:
    deployment = registry_deployment
    make_wheel(
        deployment.folder / "wheels", "apache-airflow-core", "3.3.2", files=modules(AIRFLOW, "airflow")
    )
    deployment.write("uv.toml", 'find-links = ["wheels"]\n')
    packages = ["apache-airflow-core==3.3.2", "pandas", "pyarrow", "polars"]
    deployment.spec("env_a", packages, 'preload = ["pandas", "pyarrow", "polars"]\n')
    deployment.ok("lock")
    deployment.ok("build")
    result = deployment.run("preload", "env_a", "--json").json["result"]
    found = {one["module"]: one["problem"] for one in result["modules"]}
    assert (found["pandas"], found["pyarrow"]) == ("", "")
    assert "starts a thread (polars-" in found["polars"]
    assert "import it where it is used" in found["polars"]
