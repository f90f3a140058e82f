"""envman: one Airflow, many interpreters.

Declared environments are locked, built into immutable generations and published under their names;
a bundle of Dags is resolved to its environment, and its workloads are started in that interpreter.
"""

__version__ = "0.1.0"
