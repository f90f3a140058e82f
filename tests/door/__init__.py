"""What children say, checked."""
