"""Cards: the published test numbers, what each is, and what is kept of it.

Other numbers are refused, and of these only the first six and last four digits are kept.
"""

import hashlib
import re
from typing import Any

from billing.sandbox.braintree.replies import RefusedRequest, refuse
from billing.sandbox.braintree.xml import day_text
from billing.sandbox.store import Record

_BRANDS = (
    ("American Express", r"3[47]"),
    ("Diners Club", r"3(?:0[0-5]|6|8)"),
    ("JCB", r"35"),
    ("Elo", r"506699"),
    ("Hiper", r"637095"),
    ("Hipercard", r"606282"),
    ("Maestro", r"(?:50|56|58|63|67)"),
    ("Discover", r"6(?:011|5)"),
    ("UnionPay", r"62"),
    ("MasterCard", r"(?:5[1-5]|2[2-7])"),
    ("Visa", r"4"),
)
# Braintree's documentation, "Testing", and the numbers that its SDK names.
_PUBLISHED = """
    378282246310005 371449635398431 378734493671000 371260714673002 378267515471109
    371544868764018 36259600000004 30569309025904 38520000023237
    3530111333300000 3566002020360505 6304000000000000 63049580000009
    5555555555554444 5105105105105100 2223000048400011 5200828282828210
    4111111111111111 4005519200000004 4009348888881881 4012000033330026 4012000077777777
    4012888888881881 4217651111111119 4500600000000061 4000111111111115 4000111111111511
    4000000000000002 4242424242424242 4023898493988028 4229989800000003 4111111111131010
    4229989700000004 4229989100000000 4111161010101010 4117101010101010 4111111510101010
    4111111114101010 4111111111111210 4229989900000002 4229989500000006 4111111141010101
    4111111111121102 4111111111310101 4111111111112101 4012000033330125 4012000033330620
    6011000991300009 6011111111111117 6011000990139424 6011601160116611
    4111130000000003 6243030000000001 5066991111111118 6370950000000005 6062820524845321
"""
_NUMBERS = frozenset(_PUBLISHED.split())
# Numbers that stand for an answer of the processor when they are verified or charged.
FAILS = {
    "4000111111111115": "2000",
    "378734493671000": "2000",
    "6011000990139424": "2000",
    "4000111111111511": "gateway:fraud",
    "4111130000000003": "gateway:risk_threshold",
}
CHARGED_BACK = "4023898493988028"
_INDICATORS = {
    "business": "4229989800000003",
    "commercial": "4111111111131010",
    "consumer": "4229989700000004",
    "corporate": "4229989100000000",
    "durbin_regulated": "4111161010101010",
    "debit": "4117101010101010",
    "healthcare": "4111111510101010",
    "payroll": "4111111114101010",
    "prepaid": "4111111111111210",
    "prepaid_reloadable": "4229989900000002",
    "purchase": "4229989500000006",
}
_NONE = "4111111111310101"
# What the issuer of a test number is known to be, or sells.
_ISSUED = {
    "4111111111121102": {"country_of_issuance": "USA"},
    "4111111141010101": {"issuing_bank": "NETWORK ONLY"},
    "4111111510101010": {"product_id": "J3"},
    "4111111114101010": {"product_id": "MSA"},
    _NONE: {"product_id": "MSB"},
}
_EXPIRY = re.compile(r"(\d{1,2})/(\d{2}|\d{4})")


def card_of(given: dict[str, Any], where: str, now: int) -> Record:
    """Return what is kept of a card that was sent by number. Raises: RefusedRequest."""
    number = re.sub(r"[ -]", "", str(given.get("number") or ""))
    _check_number(number, where)
    month, year = _expiry(given, where)
    return {
        "kind": "credit_card",
        "card_type": brand_of(number),
        "bin": number[:6],
        "bin_extended": number[:8],
        "last4": number[-4:],
        "exp_month": month,
        "exp_year": year,
        "cardholder_name": given.get("cardholder_name"),
        "unique": unique_identifier(number),
        "indicators": indicators_of(number),
        "fails": FAILS.get(number),
        "dispute_at_once": number == CHARGED_BACK,
        "cvv": cvv_answer(given.get("cvv")),
        "expired": is_expired(month, year, now),
    }


def brand_of(number: str) -> str:
    """Return the card type as Braintree spells it."""
    return next((name for name, start in _BRANDS if re.match(start, number)), "Unknown")


def unique_identifier(number: str) -> str:
    """Return what is the same for the same card, and says nothing of its number."""
    return hashlib.blake2b(b"sandbox card" + number.encode(), digest_size=16).hexdigest()


def indicators_of(number: str) -> dict[str, str]:
    """Return the card type indicators, and facts on the issuer, that are known of a test number."""
    issued = _ISSUED.get(number, {})
    if number == _NONE:
        return dict.fromkeys(_INDICATORS, "No") | issued
    return {name: "Yes" for name, one in _INDICATORS.items() if one == number} | issued


def is_expired(month: str, year: str, now: int) -> bool:
    """Whether a card is past its month."""
    return f"{year}-{month}" < day_text(now)[:7]


def read_expiry(given: dict[str, Any]) -> tuple[str, str] | None:
    """Return month and year as they were sent, in either way; None when they make no date."""
    text = given.get("expiration_date")
    if text is None:
        month, year = given.get("expiration_month"), given.get("expiration_year")
        text = f"{month or ''}/{year or ''}"
    found = _EXPIRY.fullmatch(str(text))
    if found is None or not 1 <= int(found[1]) <= 12:
        return None
    return found[1].rjust(2, "0"), found[2].rjust(4, "2") if len(found[2]) == 4 else f"20{found[2]}"


def _check_number(number: str, where: str) -> None:
    if not number:
        raise refuse(where, "number", "81714")
    if not 12 <= len(number) <= 19:
        raise refuse(where, "number", "81716")
    if not number.isdigit():
        raise refuse(where, "number", "81715")
    if number not in _NUMBERS:
        raise _unknown_number(number, where)


def _unknown_number(number: str, where: str) -> RefusedRequest:
    digits = [int(each) for each in reversed(number)]
    doubled = [sum(divmod(2 * each, 10)) for each in digits[1::2]]
    valid = (sum(digits[::2]) + sum(doubled)) % 10 == 0
    return refuse(where, "number", "81717" if valid else "81715")


def _expiry(given: dict[str, Any], where: str) -> tuple[str, str]:
    names = ("expiration_date", "expiration_month", "expiration_year")
    if all(given.get(name) is None for name in names):
        raise refuse(where, "expiration_date", "81709")
    expiry = read_expiry(given)
    if expiry is None:
        raise refuse(where, "expiration_date", "81710")
    return expiry


def cvv_answer(cvv: Any) -> str:
    """Return the issuer's word on a security code: the documented test values."""
    if not cvv:
        return "I"
    return {"200": "N", "2000": "N", "201": "U", "2011": "U", "301": "S", "3011": "S"}.get(
        str(cvv), "M"
    )
