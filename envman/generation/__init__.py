"""Generations as values: what decides one, what its manifest says, which one came before. Pure."""
