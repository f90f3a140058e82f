"""Takes memory while it is parsed, far more than its environment may have."""

from airflow.sdk import DAG

taken = []
while len(taken) < 3000:  # the machine survives where nothing stops it
    taken.append(bytearray(b"x" * 2**20))

dag = DAG("eats_at_parse", schedule=None)
