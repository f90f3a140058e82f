"""An Airflow deployment seen from envman: the settings that it needs, and what is wrong with it."""
