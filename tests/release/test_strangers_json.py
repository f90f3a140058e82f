"""JSON of strangers: what is refused of it, and how much memory the rest takes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from envman.release.strangers_json import MOST_VALUES, has_few_values, read_json


def test_json_is_read() -> None:
    text = '{"a": [1, -2, 1.5e3, true, null, "\\u00e9 \\ud83d\\udc0d", "🐍"]}'
    assert read_json(text.encode()) == {"a": [1, -2, 1500.0, True, None, "é 🐍", "🐍"]}
    assert read_json(b"999999999999999999") == 10**18 - 1


@pytest.mark.parametrize(
    "text",
    [
        *(b"Infinity", b"-Infinity", b"NaN", b"1e999", b"[-1e999]", b"1000000000000000000", b"9" * 5000),
        *(b'"\\ud800"', b'{"\\udfff": 1}', b'"\\udc0d\\ud83d"', b'"\xed\xa0\x80"', b'"\xff"', b"", b"[1] 2"),
        *(b'\xff\xfe"\x00x\x00"\x00', b'\xef\xbb\xbf"x"', b"[" + b"1," * MOST_VALUES + b"1]"),
    ],
    ids=range(17),
)
def test_what_is_not_finite_or_can_not_be_written_again_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_json(text)


def test_what_is_too_deep_is_refused() -> None:
    for text in (b"[" * 100_000 + b"]" * 100_000, b'{"x":' * 100_000 + b"1" + b"}" * 100_000):
        with pytest.raises(RecursionError):
            read_json(text)


BOMBS = {
    "lists": '"[" + "[]," * (SIZE // 3 - 9) + "[]]"',
    "as many lists as may be": '"[" + "[]," * (MOST // 2 - 1) + "[]]"',
    "objects": '"[" + "{}," * (SIZE // 3 - 9) + "{}]"',
    "objects of one key": "'[' + '{\"x\":0},' * (MOST // 2 - 1) + '0]'",
    "numbers": '"[" + "999999," * (MOST - 2) + "0]"',
    "fractions": '"[" + "0.5," * (MOST - 2) + "0]"',
    "keys": "'{' + ','.join(f'\"{n:x}\":{n + 1000}' for n in range(MOST - 1)) + '}'",
    "wide keys": "'{' + ','.join(f'\"{n:09x}🐍\":{n + 1000}' for n in range(SIZE // 27)) + '}'",
    "wide texts": "'[' + ','.join(f'\"{n:09x}🐍\"' for n in range(SIZE // 17)) + ']'",
    "a wide text": "'[\"' + 'x' * (SIZE - 100) + '🐍\"]'",
    "escapes": "'[\"' + '\\\\u00e9' * (SIZE // 6 - 10) + '🐍\"]'",
    "wide escapes": "'[\"' + '\\\\ud83d\\\\udc0d' * (SIZE // 12 - 10) + '\"]'",
}
"""Texts of up to 16 MiB, the most that a document may have, and as many values as may be."""

MEASURED = """
import sys
from envman.release.document import LARGEST_DOCUMENT as SIZE
from envman.release.strangers_json import MOST_VALUES as MOST, read_json
text = sys.stdin.buffer.read()
assert len(text) <= SIZE, len(text)
def peak():
    with open("/proc/self/status") as stream:
        return int(stream.read().partition("VmHWM:")[2].split()[0]) // 1024
with open("/proc/self/clear_refs", "w") as stream:
    stream.write("5")
try:
    found = read_json(text)
except ValueError:
    found = None
print(found is not None, peak())
"""


@pytest.mark.parametrize("name", BOMBS)
def test_no_text_takes_much_memory(name: str) -> None:
    """Resident at the most, the interpreter, its modules and the text itself included."""
    made = f"from envman.release.document import LARGEST_DOCUMENT as SIZE\nMOST = {MOST_VALUES}\n"
    words = [sys.executable, "-c", f"import sys\n{made}sys.stdout.buffer.write(({BOMBS[name]}).encode())"]
    text = subprocess.run(words, check=True, capture_output=True, timeout=120).stdout
    measured = [sys.executable, "-c", MEASURED]
    said = subprocess.run(measured, input=text, check=True, capture_output=True, timeout=120).stdout
    was_read, megabytes = said.split()
    assert (was_read == b"True") == has_few_values(text)
    assert int(megabytes) < 300, said
