"""Sales of a week, summed while the file is parsed; needs a recent pandas (`DataFrame.map`, 2.1)."""

import sys

import pandas as pd
from airflow.sdk import dag, task

SALES = pd.DataFrame({"day": ["mon", "tue", "wed"], "amount": ["12", "7", "30"]})
TOTAL = int(SALES[["amount"]].map(int).sum().iloc[0])

TAGS = [f"python {sys.version_info.major}.{sys.version_info.minor}", f"pandas {pd.__version__}"]


@dag(schedule=None, tags=TAGS, description=f"total {TOTAL}")
def sales():
    @task
    def total() -> dict[str, str]:
        return {"python": sys.version.split()[0], "pandas": pd.__version__, "total": str(TOTAL)}

    total()


@dag(schedule=None, tags=TAGS)
def sales_by_day():
    @task
    def days() -> list[str]:
        return SALES["day"].tolist()

    days()


sales()
sales_by_day()
