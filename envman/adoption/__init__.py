"""Take over an Airflow as it is: what a live one consists of, and the project that gives the same."""
"""How a deployment of stock Airflow comes to environments: what is proved of it."""
"""Moving an Airflow as it is to envman."""
