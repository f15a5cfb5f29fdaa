"""The terms of a coupon as JSON-able values, and back; how long it lasts as text.

What was agreed when a coupon was redeemed never changes. Until when it can be redeemed and how
often are no terms: they concern only those who haven't done so.
"""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from billing.plans.coupons import Coupon, CouponDuration
from billing.plans.errors import BadValue
from billing.plans.numbers import format_number, parse_number
from billing.plans.terms import terms_digest

_COUNTED: Final = re.compile(r"([1-9][0-9]{0,2}) (invoice|month)s?", re.ASCII)
_UNCOUNTED: Final[Mapping[str, CouponDuration]] = {"once": "once", "forever": "forever"}
_TERMS: Final = frozenset(("percent", "amount", "on", "for", "stack", "rest"))


class DurationError(BadValue):
    """The text doesn't say how long a coupon lasts."""


def parse_duration(text: str) -> tuple[CouponDuration, int]:
    """Read "once", "forever", "3 invoices" or "6 months" as a duration and how many of it.

    Raises: DurationError.
    """
    if text in _UNCOUNTED:
        return _UNCOUNTED[text], 1
    match = _COUNTED.fullmatch(text)
    if match is None:
        remedy = "write 'once', 'forever', or like '3 invoices' or '6 months'"
        raise DurationError(f"{text!r} doesn't say how long a coupon lasts", remedy)
    return "invoices" if match[2] == "invoice" else "months", int(match[1])


def format_duration(coupon: Coupon) -> str:
    """Write how long a coupon lasts, as text that `parse_duration` reads back."""
    if coupon.duration in _UNCOUNTED:
        return coupon.duration
    unit = coupon.duration[:-1] if coupon.number == 1 else coupon.duration
    return f"{coupon.number} {unit}"


def coupon_terms(coupon: Coupon) -> dict[str, Any]:
    """Return what is agreed with who redeems it, as JSON-able values; absent ones left out."""
    terms: dict[str, Any] = {"for": format_duration(coupon)}
    if coupon.percent is not None:
        terms["percent"] = format_number(coupon.percent)
    else:
        terms["amount"] = dict(sorted(coupon.amounts.items()))
    if coupon.on is not None:
        terms["on"] = list(coupon.on)
    if coupon.stack:
        terms["stack"] = coupon.stack
    if coupon.rest != "lost":
        terms["rest"] = coupon.rest
    return terms


def coupon_from_terms(
    code: str, terms: Mapping[str, Any], until: date | None, limit: int | None
) -> Coupon:
    """Rebuild a coupon from `coupon_terms`; unknown terms are refused, not dropped.

    Raises: ValueError, when the terms were written by a newer release or by hand.
    """
    unknown = set(terms) - _TERMS
    if unknown:
        raise ValueError(f"coupon {code} has unknown terms: {sorted(unknown)}")
    percent, on = terms.get("percent"), terms.get("on")
    duration, number = parse_duration(terms["for"])
    return Coupon(
        code=code,
        percent=None if percent is None else parse_number(percent),
        amounts=terms.get("amount", {}),
        on=None if on is None else tuple(on),
        duration=duration,
        number=number,
        until=until,
        limit=limit,
        stack=terms.get("stack", 0),
        rest=terms.get("rest", "lost"),
    )


def coupon_digest(coupon: Coupon) -> str:
    """Return the SHA-256 of the canonical terms of a coupon."""
    return terms_digest(coupon_terms(coupon))
