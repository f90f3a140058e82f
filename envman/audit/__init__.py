"""Which packages to ask a vulnerability database about, and what pip-audit's answer says. Pure."""
