"""Images as values: what stands in them, how they are described and how two of them differ."""
