"""What children of a component say, checked before anything of Airflow's reads it."""
