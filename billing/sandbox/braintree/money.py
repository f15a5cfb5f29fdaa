"""Amounts: decimal text on the wire, integer minor units inside."""

import re

# ISO 4217: currencies whose minor unit isn't the hundredth part.
_ALL_WITHOUT = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_NO_DECIMALS = frozenset(_ALL_WITHOUT.split())
_THREE_DECIMALS = frozenset(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"))
_DECIMAL = re.compile(r"(-?)([0-9]*)(?:\.([0-9]*))?")
_MICRO = 6  # decimals that amounts of different currencies are compared with


def digits(currency: str) -> int:
    """Return how many decimals a currency has."""
    if currency in _NO_DECIMALS:
        return 0
    return 3 if currency in _THREE_DECIMALS else 2


def minor_units(text: str, currency: str) -> int | None:
    """Return a decimal text in minor units; None for no such amount of the currency."""
    return scaled(text, digits(currency))


def scaled(text: str, places: int) -> int | None:
    """Return a decimal text times ten to the power of `places`; None when that isn't whole."""
    found = _DECIMAL.fullmatch(text.strip())
    if found is None or not (found[2] or found[3]):
        return None
    fraction = (found[3] or "").rstrip("0")
    if len(fraction) > places:
        return None
    value = int(f"{found[2] or '0'}{fraction.ljust(places, '0')}")
    return -value if found[1] else value


def decimal_text(amount: int, currency: str) -> str:
    """Return minor units as Braintree writes them: 1234 USD is "12.34", 1234 JPY is "1234"."""
    return unscaled(amount, digits(currency))


def unscaled(amount: int, places: int) -> str:
    """Return a whole number divided by ten to the power of `places`."""
    if not places:
        return str(amount)
    text = str(abs(amount)).rjust(places + 1, "0")
    return f"{'-' if amount < 0 else ''}{text[:-places]}.{text[-places:]}"


def comparable(text: str) -> int | None:
    """Return a decimal text as a number that compares across currencies."""
    return scaled(text, _MICRO)


def hundredths(amount: int, currency: str) -> int:
    """Return an amount in hundredths of the major unit, which the test amounts are given in."""
    return amount * 100 // _unit(currency)


def _unit(currency: str) -> int:
    """Return how many minor units make a major one."""
    return (1, 10, 100, 1_000)[digits(currency)]


def converted(amount: int, currency: str, other: str, rate: str) -> int:
    """Return an amount in another currency at a rate per major unit; half away from zero."""
    factor = scaled(rate, _MICRO) or 0
    numerator = amount * factor * _unit(other)
    denominator = 1_000_000 * _unit(currency)
    half_up = (2 * abs(numerator) + denominator) // (2 * denominator)
    return half_up if numerator >= 0 else -half_up
