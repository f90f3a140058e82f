"""How a deployment of stock Airflow comes to environments: what is proved of it."""
