"""A rule that a child has broken. Pure."""

from __future__ import annotations


class BreachError(Exception):
    """What a child has sent that it may not send, in words for those whose code it was."""
