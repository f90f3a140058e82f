"""What installed packages say of themselves (PyPA core metadata): dependencies, licenses. Pure."""
