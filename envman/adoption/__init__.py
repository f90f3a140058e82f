"""Move an Airflow as it is to envman: what it consists of, what is proved of it, and how it is split."""
