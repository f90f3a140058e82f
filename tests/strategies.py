"""What the property tests draw from, and what stands in for the disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hypothesis import settings
from hypothesis import strategies as st

law = settings(deadline=None, max_examples=80)
"""Slow machines are no failure."""

free_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
"""Any text that a variable of the environment can hold."""

names = st.from_regex(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,8}[A-Za-z0-9_])?", fullmatch=True).filter(
    lambda name: name.lower() not in {"all", "default", "none"}
)

packages = st.from_regex(r"[a-z](?:[a-z0-9-]{0,6}[a-z0-9])?", fullmatch=True)

versions = st.lists(st.integers(0, 40), min_size=1, max_size=3).map(lambda parts: ".".join(map(str, parts)))

requirements = st.builds(
    lambda package, operator, version: f"{package}{operator}{version}",
    packages,
    st.sampled_from(["==", ">=", "<", "!=", ">", "<="]),
    versions,
)


def reader(files: Mapping[str, str]) -> Callable[[str], str]:
    """A `read` over a mapping instead of a folder."""

    def read(path: str) -> str:
        try:
            return files[path]
        except KeyError:
            raise FileNotFoundError(path) from None

    return read
