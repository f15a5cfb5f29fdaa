"""Amounts and instants as reports have them; what is wrong with those of another format."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from pathlib import Path
from typing import Final

from billing.errors import ErrorCode
from billing.gateway.reports import MalformedReport
from billing.plans.currencies import digits, parse_amount

_INSTANT: Final = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[ T](\d{2}:\d{2}(?::\d{2})?))?Z?", re.ASCII)
_YEARS: Final = range(2000, 2200)

_SEPARATORS: Final[Mapping[str, str]] = {
    ";": "semicolons",
    "\t": "tabulators",
    "|": "vertical bars",
}


def check_separator(path: Path, header: Sequence[str]) -> None:
    """Check that the columns are not separated by something else than commas."""
    if len(header) > 1:
        return
    for separator, words in _SEPARATORS.items():
        if separator in "".join(header):
            raise MalformedReport(
                f"the columns of the report are separated by {words}, not by commas",
                where=f"{path}:1",
                code=ErrorCode.REPORT_SEPARATOR,
            )


_BLANKS: Final = r"' _\u00a0\u2019\u202f"
_GROUPED: Final = re.compile(
    rf"[+-]?\d{{1,3}}(?:[,.{_BLANKS}]\d{{2,3}})*[,.{_BLANKS}]\d{{3}}", re.ASCII
)
_COMMA: Final = re.compile(rf"[+-]?[\d.{_BLANKS}]*\d,\d+", re.ASCII)
_BRACKETED: Final = re.compile(r"\([^()]*\d[^()]*\)", re.ASCII)
_BESIDE: Final = re.compile(
    r"[^\d\s.,()+-]{1,3} ?[+-]?\d[^a-z]*|[+-]?\d[\d.,]* ?[^\d\s.,()+-]{1,3}", re.ASCII
)


def why_no_amount(value: str, currency: str) -> tuple[str, ErrorCode]:
    """Return what stands where an amount should, or nothing where that can't be told."""
    shown = repr(value[:40])
    if _BRACKETED.fullmatch(value):
        return f"{shown} is negative by its brackets", ErrorCode.REPORT_AMOUNT_FORMAT
    whole, dot, fraction = value.rpartition(".")
    comma_last = bool(dot) and "," in fraction
    if not comma_last and _GROUPED.fullmatch(whole if dot else value):
        if _may_be_decimal_comma(value, currency):
            return f"{shown} may have a decimal comma", ErrorCode.REPORT_DECIMAL_COMMA
        return f"{shown} has thousands separators", ErrorCode.REPORT_THOUSANDS
    if _COMMA.fullmatch(value):
        return f"{shown} has a decimal comma", ErrorCode.REPORT_DECIMAL_COMMA
    if _BESIDE.fullmatch(value):
        return f"{shown} is an amount with something beside it", ErrorCode.REPORT_AMOUNT_FORMAT
    return "", ErrorCode.REPORT_MALFORMED


def _may_be_decimal_comma(value: str, currency: str) -> bool:
    """Tell whether a single comma may separate as many decimals as the currency has."""
    before, _, after = value.partition(",")
    return before.lstrip("+-").isdigit() and len(after) == digits(currency)


# Zeros beyond a currency's digits are no amount: Stripe counts "120.00" ISK where ISO counts 120.
@lru_cache(maxsize=65_536)
def minor_units(value: str, currency: str) -> int:
    """Read an amount in major units exactly. Raises: AmountError."""
    places = digits(currency)
    whole, dot, fraction = value.partition(".")
    if dot and len(fraction) > places and not fraction[places:].strip("0"):
        value = f"{whole}.{fraction[:places]}" if places else whole
    return parse_amount(value, currency)


@lru_cache(maxsize=65_536)
def to_utc(value: str, zone: tzinfo) -> str | None:
    """Read an instant that is written in a zone; None for what is none, or not of our time.

    Of an hour that a zone has twice, it is the first.
    """
    match = _INSTANT.fullmatch(value)
    if match is None:
        return None
    try:
        written = datetime.fromisoformat(f"{match[1]}T{match[2] or '00:00'}")
        parsed = written.replace(tzinfo=UTC if value.endswith("Z") else zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return parsed.isoformat() if parsed.year in _YEARS else None
