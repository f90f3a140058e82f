"""A ledger from the days of pandas 1 (`DataFrame.applymap` is gone in 3)."""

import sys

import pandas as pd
from airflow.sdk import dag, task

LEDGER = pd.DataFrame({"account": ["a", "b"], "balance": ["1.5", "2.5"]})
BALANCE = float(LEDGER[["balance"]].applymap(float).sum().iloc[0])

TAGS = [f"python {sys.version_info.major}.{sys.version_info.minor}", f"pandas {pd.__version__}"]


@dag(schedule=None, tags=TAGS, description=f"balance {BALANCE}")
def ledger():
    @task
    def balance() -> dict[str, str]:
        return {"python": sys.version.split()[0], "pandas": pd.__version__, "balance": str(BALANCE)}

    balance()


ledger()
