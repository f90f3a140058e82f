"""The fork servers of a host: their status, what they use, and what preloading a module is worth."""
