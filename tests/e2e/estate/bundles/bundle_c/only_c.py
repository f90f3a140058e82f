"""A Dag of the third bundle, and an import that fails in every other environment."""

import envman_e2e_c
from airflow.sdk import DAG, task

with DAG("only_c", schedule=None, tags=[envman_e2e_c.__name__]):

    @task
    def one():
        return 1

    one()
