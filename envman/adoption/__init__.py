"""Moving an Airflow as it is to envman."""
