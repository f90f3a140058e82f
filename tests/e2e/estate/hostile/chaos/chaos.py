"""Short tasks, in a Dag for the bundle that this file is in."""

import os
import random
import time
from pathlib import Path

from airflow.sdk import DAG, task

with DAG(f"chaos_{Path(__file__).parent.name[-1]}", schedule=None, max_active_runs=10):

    @task
    def work(number):
        seconds = random.uniform(0, 3)
        print(f"works for {seconds:.1f} s")
        time.sleep(seconds)
        print("worked")
        return os.getppid()

    for number in range(3):
        work(number)
