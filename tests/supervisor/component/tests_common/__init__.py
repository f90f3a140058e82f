"""What Airflow's tests of its supervisor use of Airflow's test tools, of which there is no current release."""
