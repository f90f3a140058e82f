"""Keep credentials out of messages: whatever is shown of a URL has none. Pure.

A password should be percent-encoded, and often is not. So what could be one is hidden, at the price of a host
or path that is hidden with it: of `https://user:p/ss@host`, nobody can say where the password ends.
"""

from __future__ import annotations

import re

_HIDDEN = "****@"

_WORD = re.compile(r"""(?:[^\s"]|"(?![,:\]}\s]|$))+""")
"""What may be one URL: up to white space, or to the quote that ends a string of JSON."""

_HOST = re.compile(r"[^/?#]*")
"""User, password, host and port, if nobody has put one of these letters into them."""

_DIGEST = re.compile(r"@(?=sha\d+:[0-9a-f]+)")
"""Of a container image: it follows a name, and has an @ of its own."""


def redact(text: str) -> str:
    """The text with the user names and passwords of its URLs blotted out."""
    if "://" not in text:
        return text
    return _WORD.sub(lambda word: _redacted(word[0]), text)


def _redacted(word: str) -> str:
    shown, position = [], 0
    signs = _DIGEST.sub("-", word)
    last = signs.rfind("@")
    while position <= last and (found := signs.find("://", position)) >= 0:
        start = found + len("://")
        end = _end_of_credentials(signs, start)
        shown += [word[position:start], _HIDDEN if end else ""]
        position = end or start
    return "".join([*shown, word[position:]])


def _end_of_credentials(word: str, start: int) -> int:
    """Where the @ behind the credentials of a URL ends; 0 where there is none."""
    host = _HOST.match(word, start)
    name = host[0] if host else ""
    port_or_password = name.rpartition("]")[2] if name.startswith("[") else name
    return word.rfind("@", start, len(word) if ":" in port_or_password else start + len(name)) + 1
