"""The license of a package, from what its metadata says."""

from __future__ import annotations

from dataclasses import dataclass

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from envman.packages.package import Package

UNKNOWN = "unknown"

_IDENTIFIERS = {
    "apache 2.0": "Apache-2.0",
    "apache 2": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache license version 2.0": "Apache-2.0",
    "bsd 2-clause license": "BSD-2-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "boost software license 1.0 (bsl-1.0)": "BSL-1.0",
    "cc0 1.0 universal (cc0 1.0) public domain dedication": "CC0-1.0",
    "eclipse public license 1.0 (epl-1.0)": "EPL-1.0",
    "eclipse public license 2.0 (epl-2.0)": "EPL-2.0",
    "european union public licence 1.2 (eupl 1.2)": "EUPL-1.2",
    "gnu affero general public license v3": "AGPL-3.0-only",
    "gnu affero general public license v3 or later (agplv3+)": "AGPL-3.0-or-later",
    "gnu general public license v2 (gplv2)": "GPL-2.0-only",
    "gnu general public license v2 or later (gplv2+)": "GPL-2.0-or-later",
    "gnu general public license v3 (gplv3)": "GPL-3.0-only",
    "gnu general public license v3 or later (gplv3+)": "GPL-3.0-or-later",
    "gnu lesser general public license v2 (lgplv2)": "LGPL-2.0-only",
    "gnu lesser general public license v2 or later (lgplv2+)": "LGPL-2.0-or-later",
    "gnu lesser general public license v3 (lgplv3)": "LGPL-3.0-only",
    "gnu lesser general public license v3 or later (lgplv3+)": "LGPL-3.0-or-later",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "the mit license": "MIT",
    "mit no attribution license (mit-0)": "MIT-0",
    "mozilla public license 1.1 (mpl 1.1)": "MPL-1.1",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "the unlicense (unlicense)": "Unlicense",
    "universal permissive license (upl)": "UPL-1.0",
}
"""SPDX identifiers of trove classifiers, and of what often stands in the field License, where there is no
doubt which one is meant: `BSD License` and `Apache Software License` may be several."""


@dataclass(frozen=True)
class License:
    """A package's license: each part an SPDX expression, or words that are none; all of them count.

    Classifiers may be several, and don't say whether one may choose; so one may not.
    """

    parts: tuple[str, ...]

    def __str__(self) -> str:
        return ", ".join(self.parts) or UNKNOWN


def license_of(package: Package) -> License:
    """`License-Expression` (PEP 639), else a License field that is an SPDX expression or a known license's
    name, else the classifiers, else the first line of License.
    """
    if package.license_expression:
        return License((expression(package.license_expression) or package.license_expression,))
    text = package.license_text
    if found := expression(text):
        return License((found,))
    if package.license_classifiers:
        named = (expression(one) or one for one in package.license_classifiers)
        return License(tuple(sorted(set(named))))
    return License((text,) if text and text.casefold() != UNKNOWN else ())


def expression(text: str) -> str:
    """A license as an SPDX expression in its canonical form; empty where the words are none."""
    if known := _IDENTIFIERS.get(" ".join(text.casefold().split())):
        return known
    try:
        return str(canonicalize_license_expression(text))
    except InvalidLicenseExpression:
        return ""
