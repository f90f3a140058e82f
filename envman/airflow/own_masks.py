"""What a child has asked to mask is masked in its own lines, and in nobody else's.

Airflow masks in a supervisor's process, which in a shared component has the children of all teams, and keeps
what it masks for as long as that process is there.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from functools import partial
from itertools import islice
from typing import Any

from airflow.sdk import log as sdk_log
from airflow.sdk._shared.secrets_masker.secrets_masker import SECRETS_TO_SKIP_MASKING, SecretsMasker

from envman.door.masks import MOST, Masks, texts
from envman.launch.credential_reading import LARGEST

PACKAGES = ("airflow._shared.secrets_masker", "airflow.sdk._shared.secrets_masker")
"""Airflow has two copies, each with a masker: the one of children's lines is the second."""

SETTINGS = (
    "min_length_to_mask",
    "sensitive_variables_fields",
    "secret_mask_adapter",
    "hide_sensitive_var_conn_fields",
)


class BoundedMasker(SecretsMasker):  # type: ignore[misc]  # Airflow is not there when types are checked
    """A masker with the settings of another; what that one masks stays masked."""

    def __init__(self, other: Any) -> None:
        super().__init__()
        for name in SETTINGS:
            setattr(self, name, getattr(other, name))
        self.patterns = {*other.patterns}
        self.replacer = Masks(_unescaped(other.patterns))

    def add_mask(self, secret: Any, name: str | None = None) -> None:
        """Mask a text, or what is in a value under a name that is sensitive."""
        for one in self._masked(texts(secret, name)):
            self.replacer.add(one)

    def keep_mask(self, secret: Any) -> None:
        """Mask it, too, and whatever the child asks for, go on: a text, or what is in a credential's JSON."""
        for one in islice(self._masked(texts(secret, None, LARGEST)), MOST):
            self.replacer.keep(one)

    def _masked(self, found: Iterable[tuple[str, str | None]]) -> Iterator[str]:
        for text, key in found:
            if key and not self.should_hide_value_for_key(key):
                continue
            for one in self._adaptations(text):
                if len(one) >= max(self.min_length_to_mask, 1) and one.lower() not in SECRETS_TO_SKIP_MASKING:
                    yield one

    def reset_masker(self) -> None:
        """Mask only what the other one did."""
        self.replacer.clear()


def _unescaped(patterns: Iterable[str]) -> Iterator[str]:
    return (re.sub(r"\\(.)", r"\1", pattern, flags=re.DOTALL) for pattern in patterns)


_of_a_child: ContextVar[BoundedMasker | None] = ContextVar("of_a_child", default=None)


def of_a_child() -> BoundedMasker:
    """A masker for a new child: it begins with what the component itself masks."""
    return BoundedMasker(everybodys())


def everybodys() -> Any:
    """The masker of all that this process logs outside of a child's lines."""
    return sdk_log._secrets_masker()


def within(masker: BoundedMasker, read: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """A reader of a child's socket: what it masks and what it logs is masked by the child's masker."""

    def reading(pipe: Any) -> bool:
        before = _of_a_child.set(masker)
        try:
            return read(pipe)
        finally:
            _of_a_child.reset(before)

    return reading


def _current(default: BoundedMasker) -> BoundedMasker:
    return _of_a_child.get() or default


def install() -> None:
    """Have Airflow mask a child's secrets by the child's masker."""
    for package in PACKAGES:
        module = importlib.import_module(f"{package}.secrets_masker")
        current = partial(_current, BoundedMasker(module._secrets_masker()))
        for place in (module, importlib.import_module(package)):
            place._secrets_masker = current  # type: ignore[attr-defined]
    sdk_log._secrets_masker = importlib.import_module(PACKAGES[1])._secrets_masker
