"""The machine below: files, processes, digests, sandboxes, what is read from the network."""
