"""Specs: what `envman.toml` and `environments/*.toml` declare, loaded as frozen values."""
