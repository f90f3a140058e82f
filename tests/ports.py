"""Ports of loopback for servers that have to be told theirs."""

from __future__ import annotations

import random
import socket
from pathlib import Path

LOWEST = 20000


def free_port() -> int:
    """A port that no other test process of this machine was given, and that no connection takes by itself.

    It stays this process's until that ends. A port that the kernel chooses could be somebody's again, before the
    server has it.
    """
    first_of_the_kernels = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = range(LOWEST, first_of_the_kernels)
    for port in random.sample(ports, len(ports)):
        if _is_unused(port) and _mark(port):
            return port
    raise AssertionError(f"no port from {ports} is free")


def _is_unused(port: int) -> bool:
    with socket.socket() as tried:
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _mark(port: int) -> bool:
    """Take an abstract socket with the port's name, which the kernel gives to one process at a time."""
    with socket.socket(socket.AF_UNIX) as mark:
        try:
            mark.bind(f"\0envman-test-port-{port}")
        except OSError:
            return False
        mark.detach()
    return True
