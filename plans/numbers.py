"""Numbers that aren't money, exact: included units, percentages."""

import re
from fractions import Fraction
from typing import Final

from billing.plans.errors import BadValue

_NUMBER: Final = re.compile(r"(0|[1-9][0-9]{0,17})(?:\.([0-9]{1,12}))?", re.ASCII)


class NumberError(BadValue):
    """The text is not an exact number."""


def parse_number(text: str) -> Fraction:
    """Read "12.5" exactly: not below zero, at most 12 decimals. Raises: NumberError."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        what = f"{text[:30]!r} is not a number of at most 12 decimals"
        raise NumberError(what, "write it like '15' or '12.5'")
    units, fraction = match[1], match[2] or ""
    return Fraction(int(units + fraction), 10 ** len(fraction))


def format_number(value: Fraction) -> str:
    """Write a number as text that `parse_number` reads back, with no zero at its end.

    Raises: ValueError, for a fraction that no 12 decimals can write.
    """
    if value < 0 or (value * 10**12).denominator != 1:
        raise ValueError(f"{value} has no 12 decimals")
    return exact_text(value)


def exact_text(value: Fraction) -> str:
    """Write any fraction exactly: "12", "0.08" where its decimals end, else "1/3"."""
    if value.denominator == 1:
        return str(value.numerator)
    digits, rest = 0, value.denominator
    while rest % 10 == 0 or rest % 2 == 0 or rest % 5 == 0:
        rest = rest // 10 if rest % 10 == 0 else rest // 2 if rest % 2 == 0 else rest // 5
        digits += 1
    if rest != 1:
        return f"{value.numerator}/{value.denominator}"
    scaled = value * 10**digits
    text = str(abs(scaled.numerator)).rjust(digits + 1, "0")
    shown = f"{text[:-digits]}.{text[-digits:]}".rstrip("0")
    return f"-{shown}" if value < 0 else shown
