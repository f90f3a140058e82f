"""Tasks that take what their environment may not have, and one that takes nothing."""

import os
import signal
import time

from airflow.sdk import DAG, task

with DAG("eats", schedule=None):

    @task
    def eat():
        taken = []
        while len(taken) < 3000:
            taken.append(bytearray(b"x" * 2**20))

    eat()

with DAG("bombs", schedule=None):

    @task
    def bomb():
        children = []
        try:
            while len(children) < 500:
                pid = os.fork()
                if pid == 0:
                    signal.signal(signal.SIGTERM, signal.SIG_DFL)
                    time.sleep(600)
                    os._exit(0)
                children.append(pid)
        finally:
            print(f"had {len(children)} children")
            for pid in children:
                os.kill(pid, signal.SIGKILL)

    bomb()

with DAG("modest", schedule=None):

    @task
    def one():
        return os.getpid()

    one()
