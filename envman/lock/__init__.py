"""Locks: what decided one, how one is written down, what changed."""
