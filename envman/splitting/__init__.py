"""Which environments files and requirements make: by what is imported, and by what fits together."""
