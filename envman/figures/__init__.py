"""Figures of what runs: the fork servers of a host, and what preloading a module is worth."""
