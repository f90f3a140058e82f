"""Launching: from a bundle to a process in its own interpreter. Imports neither typer nor rich nor json."""
