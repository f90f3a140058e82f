"""By when a file has to have been uploaded for a lock to take it: uv's `exclude-newer`."""

from __future__ import annotations

import re
from calendar import monthrange
from typing import Annotated

from pydantic import AfterValidator, StrictStr

from envman.spec.values import WrongValueError

_SPAN = re.compile(r"[1-9][0-9]{0,3} (?:hour|day|week)s?|P[1-9][0-9]{0,3}[DW]|PT[1-9][0-9]{0,3}H")
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_MOMENT = re.compile(
    rf"({_DATE.pattern})[Tt](?:[01][0-9]|2[0-3])(?::[0-5][0-9]){{2}}(?:\.[0-9]{{1,9}})?"
    r"(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)


def _cool_down(text: str) -> str:
    date = match[1] if (match := _MOMENT.fullmatch(text)) else text
    if _SPAN.fullmatch(text) or _is_date(date):
        return text
    remedy = "Write a span such as '7 days', a date such as '2026-11-01', or a time with its zone (RFC 3339)."
    raise WrongValueError(f"'{text}' is neither a span nor a date", remedy)


def _is_date(text: str) -> bool:
    match = _DATE.fullmatch(text)
    if match is None:
        return False
    year, month, day = (int(part) for part in match.groups())
    return year > 0 and 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]


CoolDown = Annotated[StrictStr, AfterValidator(_cool_down)]
