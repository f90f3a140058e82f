from __future__ import annotations

import pytest

from envman.errors import UsageError
from envman.packages.license import License, license_of
from envman.packages.package import Package
from envman.packages.policy import make_policy


def declared(expression: str = "", classifiers: tuple[str, ...] = (), text: str = "") -> str:
    package = Package(
        "a", "1", license_expression=expression, license_classifiers=classifiers, license_text=text
    )
    return str(license_of(package))


def test_the_license_expression_wins_in_its_canonical_form() -> None:
    assert declared("mit and (apache-2.0 or BSD-3-clause)", ("BSD License",), "GPL") == (
        "MIT AND (Apache-2.0 OR BSD-3-Clause)"
    )
    assert declared("no expression", ("MIT License",)) == "no expression"


@pytest.mark.parametrize(
    ("classifiers", "text", "expected"),
    [
        (("MIT License",), "", "MIT"),
        (("MIT License",), "as it pleases you", "MIT"),
        (("BSD License",), "BSD-3-Clause", "BSD-3-Clause"),
        (("BSD License",), "see LICENSE", "BSD License"),
        (("BSD License", "Apache Software License"), "", "Apache Software License, BSD License"),
        ((), "MIT License", "MIT"),
        ((), "Apache License, Version 2.0", "Apache-2.0"),
        ((), "Dual License", "Dual License"),
        ((), "UNKNOWN", "unknown"),
        ((), "", "unknown"),
    ],
)
def test_without_one_the_field_counts_where_it_is_spdx_then_the_classifiers(
    classifiers: tuple[str, ...], text: str, expected: str
) -> None:
    assert declared("", classifiers, text) == expected


def allowed(license_: str | License, allow: tuple[str, ...] = (), deny: tuple[str, ...] = ()) -> bool:
    found = License((license_,)) if isinstance(license_, str) else license_
    return make_policy(allow, deny, [found]).allows(found)


@pytest.mark.parametrize(
    ("license_", "allow", "expected"),
    [
        ("MIT", ("mit",), True),
        ("MIT", ("Apache-2.0",), False),
        ("MIT OR GPL-3.0-only", ("MIT",), True),
        ("MIT AND GPL-3.0-only", ("MIT",), False),
        ("MIT AND (GPL-3.0-only OR Apache-2.0)", ("MIT", "Apache-2.0"), True),
        ("(MIT AND GPL-3.0-only) OR Apache-2.0", ("MIT",), False),
        ("GPL-2.0-only WITH Classpath-exception-2.0", ("GPL-2.0-only",), False),
        ("GPL-2.0-only WITH Classpath-exception-2.0", ("GPL-2.0-only WITH Classpath-exception-2.0",), True),
        ("GPL-3.0", ("GPL-3.0-only",), True),
        ("GPL-3.0+", ("GPL-3.0-only",), False),
        ("LicenseRef-Company", ("LicenseRef-Company",), True),
        ("LicenseRef-Apache", ("Apache-2.0",), False),
        ("BSD License", ("BSD-3-Clause",), False),
        ("BSD License", ("bsd license",), True),
    ],
)
def test_or_is_a_choice_and_and_is_none(license_: str, allow: tuple[str, ...], expected: bool) -> None:
    assert allowed(license_, allow=allow) is expected


@pytest.mark.parametrize(
    ("license_", "deny", "expected"),
    [
        ("MIT", ("GPL-3.0-only",), True),
        ("GPL-3.0-only", ("GPL-3.0",), False),
        ("MIT OR GPL-3.0-only", ("GPL-3.0-only",), True),
        ("MIT AND GPL-3.0-only", ("GPL-3.0-only",), False),
        ("GPL-3.0-only", ("GNU General Public License v3 (GPLv3)",), False),
    ],
)
def test_what_is_denied_hits_where_there_is_no_way_around_it(
    license_: str, deny: tuple[str, ...], expected: bool
) -> None:
    assert allowed(license_, deny=deny) is expected


def test_every_classifier_has_to_be_allowed_as_they_leave_no_choice() -> None:
    both = License(("Apache Software License", "MIT"))
    assert not allowed(both, allow=("MIT",))
    assert allowed(both, allow=("MIT", "Apache Software License"))


def test_no_license_is_not_allowed_unless_it_is_said() -> None:
    assert allowed(License(()))
    assert not allowed(License(()), allow=("MIT",))
    assert allowed(License(()), allow=("MIT", "unknown"))
    assert not allowed(License(()), deny=("unknown",))


def test_denied_wins_over_allowed() -> None:
    assert not allowed("MIT", allow=("MIT",), deny=("MIT",))


def test_a_typing_error_must_not_allow_what_it_meant_to_deny() -> None:
    with pytest.raises(UsageError) as caught:
        make_policy([], ["GPL3", "MIT OR ISC"], [License(("BSD License",))])
    first, second = caught.value.problems
    assert (first.where, "neither an SPDX identifier" in first.what) == ("--deny 'GPL3'", True)
    assert "several licenses" in second.what
    make_policy(["GPL3"], ["bsd license"], [License(("BSD License",))])  # --allow can only fail to allow
