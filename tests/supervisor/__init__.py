"""Airflow's own tests of its supervisor, with children that envman starts."""
