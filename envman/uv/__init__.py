"""uv: resolving for a lock, installing from one. The only place that knows uv's options and messages."""
