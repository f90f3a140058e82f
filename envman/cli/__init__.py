"""The shell: typer parses, a use case runs, one reporter shows the result."""
