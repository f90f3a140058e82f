from __future__ import annotations

import pytest

from envman.image.dpkg import installed_packages, missing_packages

STATUS = """\
Package: libpq5
Status: install ok installed
Architecture: amd64
Version: 15.8-0
Description: library
 Package: no field, but text

Package: gone
Status: deinstall ok config-files
Version: 1.0

Package: mawk
Status: install ok installed
Version: 1.3.4
Provides: awk, other (= 2)
"""


def test_what_is_installed_or_provided() -> None:
    assert installed_packages(STATUS) == {"libpq5": "15.8-0", "mawk": "1.3.4", "awk": "", "other": ""}


def test_notes_of_images_without_dpkg_have_no_status() -> None:
    assert installed_packages("Package: libc6\nVersion: 2.36\n") == {"libc6": "2.36"}
    assert installed_packages("") == {}


@pytest.mark.parametrize(
    ("wanted", "missing"),
    [
        (["libpq5", "mawk"], []),
        (["libpq5=15.8-0"], []),
        (["libpq5=16"], ["libpq5=16"]),
        (["awk", "libpq5:amd64"], []),
        (["gone", "never", "gone"], ["gone", "never"]),
    ],
)
def test_what_is_missing(wanted: list[str], missing: list[str]) -> None:
    assert missing_packages(installed_packages(STATUS), wanted) == missing
