"""Airflow Dags that Cosmos makes of a dbt project, read by its own parser: there is no dbt here."""

from datetime import datetime
from pathlib import Path

from airflow.sdk import DAG
from cosmos import DbtDag, DbtTaskGroup, ExecutionConfig, LoadMode, ProfileConfig, ProjectConfig, RenderConfig
from cosmos.profiles import PostgresUserPasswordProfileMapping

SHOP = Path(__file__).parent / "shop"
GIVEN = {
    "project_config": ProjectConfig(SHOP),
    "profile_config": ProfileConfig(
        profile_name="shop",
        target_name="dev",
        profile_mapping=PostgresUserPasswordProfileMapping("warehouse", profile_args={"schema": "public"}),
    ),
    "execution_config": ExecutionConfig(dbt_executable_path="/usr/bin/dbt"),
    "render_config": RenderConfig(load_method=LoadMode.CUSTOM),
}

shop = DbtDag(dag_id="shop", schedule="@daily", start_date=datetime(2026, 1, 1), catchup=False, **GIVEN)

with DAG("shop_in_a_group", schedule=None, tags=["dbt"]):
    DbtTaskGroup(group_id="models", **GIVEN)
