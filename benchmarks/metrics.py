"""Listen to Airflow's own StatsD metrics, and note when each one came."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass

_LARGEST = 65536
_END = b"end of the listening"


@dataclass(frozen=True)
class Metric:
    """One metric as it came: seconds of `time.perf_counter`, its name without prefix, its value."""

    at: float
    name: str
    value: float


class MetricsListener:
    """A StatsD server for the length of a `with`; it hears what has `variables` in its environment."""

    def __init__(self, allowed: str) -> None:
        self._allowed = allowed
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._listen)
        self.heard: list[Metric] = []

    @property
    def variables(self) -> dict[str, str]:
        """Airflow's configuration to send the metrics whose names begin as `allowed` says."""
        return {
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(self._socket.getsockname()[1]),
            "AIRFLOW__METRICS__STATSD_PREFIX": "airflow",
            "AIRFLOW__METRICS__LEGACY_NAMES_ON": "False",
            "AIRFLOW__METRICS__METRICS_ALLOW_LIST": self._allowed,
        }

    def __enter__(self) -> MetricsListener:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(_END, self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        while (packet := self._socket.recv(_LARGEST)) != _END:
            at = time.perf_counter()
            for line in packet.decode().splitlines():
                name, _, rest = line.partition(":")
                value = float(rest.partition("|")[0])
                self.heard.append(Metric(at, name.removeprefix("airflow."), value))
