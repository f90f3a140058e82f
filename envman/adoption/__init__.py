"""What a live Airflow consists of, and the project that gives the same."""
