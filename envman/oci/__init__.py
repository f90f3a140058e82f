"""Layers and image layouts on the disk, as the OCI image specification says."""
