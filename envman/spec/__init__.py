"""Specs: what `envman.toml` and `environments/*.toml` declare. Pure: text in, frozen values out."""
