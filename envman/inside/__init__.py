"""What runs in a team's interpreter: modules that `run.py` starts, and scripts that stand alone."""
