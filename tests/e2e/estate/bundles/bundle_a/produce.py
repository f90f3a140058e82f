"""An asset that a Dag of another bundle waits for."""

import sys

from airflow.sdk import DAG, Asset, task

with DAG("produce", schedule=None):

    @task(outlets=[Asset("e2e-asset")])
    def write():
        return list(sys.version_info[:2])

    write()
