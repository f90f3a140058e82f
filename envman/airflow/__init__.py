"""What runs inside Airflow's own processes.

Beside the house: nothing in envman imports it, `envman launch` brings it along by its path. It needs the
standard library, Airflow, and the rooms of envman that are on the launch path; `component` makes those, and
nothing else of envman's own environment, importable in the component.
"""
