"""The time that what is made gets, so that it is the same whenever it is made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone

from envman.errors import Problem, UsageError

_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)")


def source_date(created: object, environ: Mapping[str, str]) -> int:
    """Seconds since 1970: SOURCE_DATE_EPOCH, else when that was created which it is made of, as that says it.

    0 where that says nothing. Raises UsageError for a SOURCE_DATE_EPOCH that is no number.
    """
    if chosen := environ.get("SOURCE_DATE_EPOCH"):
        if not chosen.isdigit():
            what = f"SOURCE_DATE_EPOCH is '{chosen}', which is no number of seconds"
            raise UsageError(Problem("", what, "Set it to seconds since 1970, or unset it."))
        return int(chosen)
    found = _TIME.match(str(created or ""))
    if found is None:
        return 0
    year, month, day, hour, minute, second = (int(part) for part in found.groups())
    return max(0, int(datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc).timestamp()))


def rfc3339(epoch: int) -> str:
    """Seconds since 1970 as images and manifests say a time (RFC 3339)."""
    return datetime.fromtimestamp(epoch, timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
