"""Releases: environments as hosts are handed them, in layers that equal files share."""
