"""Starts when a Dag of another bundle has written the asset."""

import sys

from airflow.sdk import DAG, Asset, task

with DAG("consume", schedule=[Asset("e2e-asset")]):

    @task
    def read():
        return list(sys.version_info[:2])

    read()
