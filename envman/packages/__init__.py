"""Installed packages: what their metadata says, their licenses and vulnerabilities, the bill of materials."""
