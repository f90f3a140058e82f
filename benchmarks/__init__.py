"""Benchmarks: envman against what one would use in its place, measured in the same run."""
