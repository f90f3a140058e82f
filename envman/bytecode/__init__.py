"""Bytecode, compiled once for each Python version and linked into every environment that has the source."""
