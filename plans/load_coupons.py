"""Coupons of a catalog file."""

from fractions import Fraction
from typing import Final, cast, get_args

from billing.plans.coupon_terms import parse_duration
from billing.plans.coupons import Coupon, CouponDuration, CouponRest
from billing.plans.errors import BadValue
from billing.plans.load_items import read_code
from billing.plans.load_prices import read_amounts
from billing.plans.numbers import parse_number
from billing.plans.table import Table, type_name

_KEYS: Final = ("code", "percent", "amount", "on", "for", "until", "limit", "stack", "rest")
_MOST_REDEMPTIONS: Final = 10**9
_LAST_OF_STACK: Final = 1000


def read_coupon(table: Table) -> Coupon | None:
    """Return the coupon, or None when what it takes off, or for how long, can't be read."""
    table.refuse_unknown(_KEYS)
    code = read_code(table, "spring")
    percent = _read_percent(table)
    amounts = read_amounts(table, "amount", free=False)
    _check_what(table)
    on = table.texts("on", '["base"]') if table.has("on") else None
    duration = _read_duration(table)
    until = table.day("until") if table.has("until") else None
    limit = table.integer("limit", 1, _MOST_REDEMPTIONS)
    stack = table.integer("stack", 0, _LAST_OF_STACK)
    rest = _read_rest(table, duration)
    if code is None or duration is None or (percent is None) == (amounts is None):
        return None
    return Coupon(
        code=code,
        percent=percent,
        amounts=amounts or {},
        on=None if on is None else tuple(sorted(on)),
        duration=duration[0],
        number=duration[1],
        until=until,
        limit=limit,
        stack=stack or 0,
        rest=rest,
    )


def _check_what(table: Table) -> None:
    if not table.has("percent") and not table.has("amount"):
        remedy = 'add percent = "15", or amount = { USD = "20.00" }'
        table.problem("percent", "is missing, and so is an amount", remedy)
    if table.has("percent") and table.has("amount"):
        what = "says what is taken off, and so does percent"
        table.problem("amount", what, "leave one out, or make two coupons")


def _read_percent(table: Table) -> Fraction | None:
    value = table.data.get("percent")
    if type(value) in (int, float):
        what = f"{value} is {type_name(value)}, and a percentage is read digit by digit"
        table.problem("percent", what, f'write it in quotes: percent = "{value}"')
        return None
    text = table.text("percent", required=False)
    if text is None:
        return None
    try:
        percent = parse_number(text.removeprefix("-"))
    except BadValue as error:
        table.problem("percent", error.what, error.remedy)
        return None
    if text.startswith("-") or not 0 < percent <= 100:
        what = f"{text!r} is not above 0 and at most 100"
        table.problem("percent", what, 'write it like "15"; "100" takes all off')
        return None
    return percent


def _read_duration(table: Table) -> tuple[CouponDuration, int] | None:
    if not table.has("for"):
        table.problem("for", "is missing", 'add a line: for = "once"')
    text = table.text("for", required=False)
    if text is None:
        return None
    try:
        return parse_duration(text)
    except BadValue as error:
        table.problem("for", error.what, error.remedy)
        return None


def _read_rest(table: Table, duration: tuple[CouponDuration, int] | None) -> CouponRest:
    rest = cast("CouponRest | None", table.choice("rest", get_args(CouponRest)))
    if rest == "kept" and (not table.has("amount") or duration not in (None, ("once", 1))):
        what = "means nothing here: a rest is left only of an amount that is taken off once"
        table.problem("rest", what, 'leave it out, or write amount = ... and for = "once"')
        return "lost"
    return rest or "lost"
