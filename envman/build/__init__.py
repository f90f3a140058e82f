"""Building generations: interpreters, virtual environments, bytecode, checks."""
