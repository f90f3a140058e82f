"""What a fork server answers: a line of JSON, from a process of a team's. Pure."""

from __future__ import annotations

import json

from envman.door.breach import BreachError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from envman.inside.protocol import ServerAnswer

LONGEST_ANSWER = 4096
"""Bytes of an answer, with its end."""

MOST_PROCESSES = 2**22
"""What the numbers of processes are below, on every Linux."""

LONGEST_REFUSAL = 500
"""Characters of a refusal that are told."""


def server_answer(line: bytes) -> ServerAnswer:
    """An answer: the number of a child, how it ended, or why there is none.

    Raises BreachError for all else.
    """
    try:
        answer = json.loads(line.decode())
    except (ValueError, RecursionError):
        raise BreachError("its answer is no JSON") from None
    if isinstance(answer, dict) and len(answer) == 1:
        ((key, value),) = answer.items()
        if key == "refused" and isinstance(value, str):
            return {"refused": value[:LONGEST_REFUSAL]}
        if isinstance(value, int) and not isinstance(value, bool):
            if key == "pid" and 1 < value < MOST_PROCESSES:
                return {"pid": value}
            if key == "status" and -128 < value < 256:
                return {"status": value}
    raise BreachError("its answer says nothing of a child")
