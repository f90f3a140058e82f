"""Names of images: where one is, and what a tag's placeholders become."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from envman.errors import Problem, UsageError

FILE_SCHEMES = ("oci-archive", "docker-archive", "oci", "dir")
"""Schemes of images that are files or folders."""

_LOCAL = (*FILE_SCHEMES, "containers-storage", "docker-daemon")
FORMS = "Write registry/path:tag in lower case, or oci:FOLDER:NAME, oci-archive:FILE, docker-archive:FILE."
_NAME = re.compile(
    r"(?:(?P<host>(?:localhost|[a-zA-Z0-9-]*(?:[.:][a-zA-Z0-9-]+)+|\[[0-9a-f:]+\](?::[0-9]+)?))/)?"
    r"(?P<path>[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
"""A name as registries take it (OCI distribution specification 1.1)."""

_LOOPBACK = re.compile(r"(localhost|127\.[0-9.]+|\[::1\])(:[0-9]+)?")
_PLACEHOLDER = re.compile(r"\{([^}]*)\}")


@dataclass(frozen=True)
class Reference:
    """Where an image is: `scheme` as skopeo names it (`docker` is a registry), and the place there."""

    scheme: str
    place: str

    def __str__(self) -> str:
        return self.place if self.scheme == "docker" else f"{self.scheme}:{self.place}"

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine rather than in a registry."""
        return self.scheme != "docker"

    @property
    def is_loopback(self) -> bool:
        """Whether it is in a registry on this machine."""
        return self.scheme == "docker" and _LOOPBACK.fullmatch(self.place.partition("/")[0]) is not None

    def transport(self) -> str:
        """As skopeo takes it."""
        return f"docker://{self.place}" if self.scheme == "docker" else f"{self.scheme}:{self.place}"

    @property
    def repository(self) -> str:
        """An image's name in a registry without tag and digest."""
        match = _NAME.fullmatch(self.place)
        assert match is not None, self.place  # noqa: S101  # it was parsed
        host = f"{match['host']}/" if match["host"] else ""
        return f"{host}{match['path']}"

    def with_digest(self, digest: str) -> Reference:
        """The same image of a registry by its digest, whatever its tag points to meanwhile."""
        return self if self.is_local else Reference(self.scheme, f"{self.repository}@{digest}")

    def with_tag(self, tag: str) -> Reference:
        """The same repository of a registry under another tag."""
        return Reference(self.scheme, f"{self.repository}:{tag}")


def parse_reference(text: str) -> Reference:
    """Read an image's name; without a scheme it is a registry's. Raises ValueError."""
    scheme, separator, rest = text.partition(":")
    if separator and scheme in _LOCAL and rest:
        return Reference(scheme, rest)
    name = text.removeprefix("docker://")
    if not _NAME.fullmatch(name):
        raise ValueError(f"'{text}' is not the name of an image")
    return Reference("docker", name)


def reference_argument(name: str) -> Reference:
    """The image or release that a word of the command line means; raises UsageError."""
    try:
        return parse_reference(name)
    except ValueError as error:
        raise UsageError(Problem("", str(error), FORMS)) from None


def filled_in(template: str, values: Mapping[str, str]) -> str:
    """A tag with its placeholders replaced; raises UsageError for one that there is none of."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            listed = ", ".join(f"{{{name}}}" for name in values)
            raise UsageError(
                Problem(f"--tag {template}", f"'{match[0]}' is no placeholder", f"There are: {listed}")
            )
        return values[match[1]]

    return _PLACEHOLDER.sub(value, template)


def placeholders(template: str) -> set[str]:
    """The placeholders of a tag."""
    return set(_PLACEHOLDER.findall(template))
