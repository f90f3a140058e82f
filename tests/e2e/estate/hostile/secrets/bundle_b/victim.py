"""A task of another environment that is there for as long as the attack lasts."""

import json
import os
import time
from pathlib import Path

from airflow.sdk import DAG, task

with DAG("victim", schedule=None):

    @task
    def wait():
        notes = Path(os.environ["E2E_NOTES"])
        (notes / "victim.new").write_text(
            json.dumps({"victim": os.getpid(), "above the victim": os.getppid()})
        )
        (notes / "victim.new").replace(notes / "victim")
        for _ in range(3000):
            if (notes / "attack_is_over").exists():
                return "unharmed"
            time.sleep(0.1)
        raise TimeoutError

    wait()
