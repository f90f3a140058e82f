"""How a script answers a command: a request as JSON comes in, and one JSON object goes out."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any


def answer(report: Callable[[Any], object], words: list[str]) -> None:
    """Write what is reported on the request, the only word; what is printed goes to standard error."""
    descriptor = os.dup(1)
    os.dup2(2, 1)
    outcome = report(json.loads(words[0]))
    sys.stdout.flush()
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(outcome, stream)
