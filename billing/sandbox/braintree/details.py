"""What a request says of a transaction beside money and means: checked as Braintree does."""

import re
from collections.abc import Mapping
from typing import Any

from billing.sandbox.braintree import line_items
from billing.sandbox.braintree.money import comparable
from billing.sandbox.braintree.replies import InvalidField, RefusedRequest

_DESCRIPTOR = {
    "name": ("92201", re.compile(r"(?:.{3}\*.{1,18}|.{7}\*.{1,14}|.{12}\*.{1,9})")),
    "phone": ("92202", re.compile(r"[\d().\- ]{10,14}")),
    "url": ("92206", re.compile(r".{1,13}")),
}
_FINE = {"name": "abc*d", "phone": "0123456789", "url": "x"}
_EXTRA_AMOUNTS = {  # codes for a bad format, less than nothing, too much
    "tax_amount": ("81535", "81534", "81536"),
    "discount_amount": ("915159", "915160", "915161"),
    "shipping_amount": ("915162", "915163", "915164"),
}
_EXTRA_MAX = 10**10 * 10**6 // 100
_FORMS = {  # code, and what a field has to look like; the first that is broken counts
    "order_id": (("91501", r".{0,255}"),),
    "purchase_order_number": (("91537", r".{0,17}"), ("91548", r"[ -~]*")),
    "ships_from_postal_code": (("915165", r".{0,9}"), ("915167", r"[\w -]*")),
    "product_sku": (("915202", r"[A-Za-z0-9_-]*"),),
    "processing_merchant_category_code": (("915265", r"\d{4}"),),
    "exchange_rate_quote_id": (("915229", r".{0,4000}"),),
    "transaction_source": (
        (
            "915133",
            "recurring|recurring_first|installment|installment_first|merchant|moto|unscheduled"
            "|estimated",
        ),
    ),
}


def check_details(given: Mapping[str, Any]) -> None:
    """Refuse what Braintree would refuse of a request's details. Raises: RefusedRequest."""
    found = [*_descriptors(given), *_amounts(given), *_forms(given)]
    found += line_items.problems_of(given.get("line_items"))
    if found:
        raise RefusedRequest(found)


def _descriptors(given: Mapping[str, Any]) -> list[InvalidField]:
    sent = given.get("descriptor") or {}
    return [
        InvalidField(("transaction", "descriptor"), name, code)
        for name, (code, form) in _DESCRIPTOR.items()
        if not form.fullmatch(str(sent.get(name) or "") or _FINE[name])
    ]


def _amounts(given: Mapping[str, Any]) -> list[InvalidField]:
    return [
        InvalidField(("transaction",), name, code)
        for name in _EXTRA_AMOUNTS
        if (code := _amount_problem(name, given.get(name))) is not None
    ]


def _amount_problem(name: str, text: Any) -> str | None:
    """Return the code of what is wrong with an amount beside the transaction's own."""
    invalid, negative, too_large = _EXTRA_AMOUNTS[name]
    if text is None:
        return None
    amount = comparable(str(text))
    if amount is None:
        return invalid
    if amount < 0:
        return negative
    return too_large if amount > _EXTRA_MAX else None


def _forms(given: Mapping[str, Any]) -> list[InvalidField]:
    found = []
    for name, rules in _FORMS.items():
        text = given.get(name)
        broken = [] if text is None else [c for c, form in rules if not _fits(form, text)]
        found += [InvalidField(("transaction",), name, code) for code in broken[:1]]
    return found


def _fits(form: str, text: Any) -> bool:
    return re.fullmatch(form, str(text), re.ASCII | re.DOTALL) is not None
