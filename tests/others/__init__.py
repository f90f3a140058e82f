"""Dags that others wrote, parsed by the stock Dag processor and by envman's shared one, and compared."""
