"""Use cases: one for each command, from values to a frozen result. They know no terminal."""
