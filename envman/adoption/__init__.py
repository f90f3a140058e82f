"""Take over an Airflow as it is: what a live one consists of, and the project that gives the same."""
