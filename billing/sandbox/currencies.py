"""Currencies the provider takes, and amounts it refuses in them. Minor units."""

from typing import Any

from billing.sandbox.errors import refused

# Stripe's documentation, "Supported currencies".
_CODES = """
usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp
byn bzd cad cdf chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip
gmd gnf gtq gyd hkd hnl htg huf idr ils inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt
lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr
nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sek sgd shp sle sos srd
std szl thb tjs tnd top try ttd twd tzs uah ugx uyu uzs vnd vuv wst xaf xcd xof xpf yer zar
zmw
"""
SUPPORTED = frozenset(_CODES.split())
_WHOLE_ONLY = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf"
_NO_DECIMALS = frozenset(_WHOLE_ONLY.split())
_THREE_DECIMALS = frozenset(("bhd", "jod", "kwd", "omr", "tnd"))
_WHOLE_UNITS_OF_100 = frozenset(("isk", "ugx"))
AMOUNT_MAX = 99_999_999


def currency(raw: Any, name: str) -> str:
    """Read a currency code, in either case."""
    code = raw.lower() if isinstance(raw, str) else ""
    if code not in SUPPORTED:
        raise refused(f"Invalid currency: {raw}.", param=name)
    return code


def digits(code: str) -> int:
    """Return how many decimals an API amount carries: 2 for ISK and UGX, as Stripe has it."""
    if code in _NO_DECIMALS:
        return 0
    return 3 if code in _THREE_DECIMALS else 2


def major_units(amount: int, code: str) -> str:
    """Return an amount as report files show it: 1234 usd is "12.34", 1234 jpy is "1234"."""
    places = digits(code)
    if not places:
        return str(amount)
    text = str(abs(amount)).rjust(places + 1, "0")
    return f"{'-' if amount < 0 else ''}{text[:-places]}.{text[-places:]}"


def check_amount(amount: int, code: str) -> None:
    """Refuse an amount that the currency can't carry. Raises: ApiError."""
    if amount > AMOUNT_MAX:
        raise refused(
            f"Amount must be no more than {AMOUNT_MAX} {code}.",
            code="amount_too_large",
            param="amount",
        )
    step = 10 if code in _THREE_DECIMALS else 100 if code in _WHOLE_UNITS_OF_100 else 1
    if amount % step:
        raise refused(
            f"Invalid amount: {code} amounts must be divisible by {step}.", param="amount"
        )
