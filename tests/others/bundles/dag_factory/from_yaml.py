"""Airflow Dags that dag-factory makes of a YAML file."""

import os
from pathlib import Path

from dagfactory import load_yaml_dags

FOLDER = Path(__file__).parent
os.environ["CALLABLES"] = str(FOLDER / "callables.py")
load_yaml_dags(globals_dict=globals(), config_filepath=str(FOLDER / "orders.yaml"))
