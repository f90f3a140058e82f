"""Debian packages of an image, as dpkg notes them (deb822, dpkg's `status` file). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

STATUS_FILE = "var/lib/dpkg/status"
STATUS_FOLDER = "var/lib/dpkg/status.d"
"""Where images without dpkg note the same, a file for each package."""


def installed_packages(status: str) -> dict[str, str]:
    """The versions of the packages that are installed, by name; what was removed is not among them."""
    found: dict[str, str] = {}
    for paragraph in status.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line[1:])
        state = fields.get("Status", "install ok installed").split()
        if "Package" in fields and state[-1] == "installed":
            found[fields["Package"]] = fields.get("Version", "")
            for provided in fields.get("Provides", "").split(","):
                if name := provided.split("(")[0].strip():
                    found.setdefault(name, "")
    return found


def missing_packages(installed: Mapping[str, str], wanted: Iterable[str]) -> list[str]:
    """Those of the wanted packages that are not there; `name=version` asks for that version."""

    def is_there(text: str) -> bool:
        name, _, version = text.partition("=")
        name = name.partition(":")[0]
        return name in installed and version in {"", installed[name]}

    return [text for text in dict.fromkeys(wanted) if not is_there(text)]
