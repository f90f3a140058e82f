"""Keep credentials out of messages: whatever is shown of a URL has none. Pure."""

from __future__ import annotations

import re

_CREDENTIALS = re.compile(r"(://)[^/\s@]+@")


def redact(text: str) -> str:
    """The text with the user names and passwords of its URLs blotted out."""
    return _CREDENTIALS.sub(r"\1****@", text)
