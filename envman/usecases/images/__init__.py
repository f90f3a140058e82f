"""The commands below `envman image`."""
