"""That Dags come out of an environment as they do from the live Airflow: each file is parsed in both."""
