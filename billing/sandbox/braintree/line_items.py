"""A transaction's line items: read, checked as Braintree does, shown."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from billing.sandbox.braintree.call import TRANSACTION, MerchantCall
from billing.sandbox.braintree.money import scaled, unscaled
from billing.sandbox.braintree.replies import InvalidField, XmlReply
from billing.sandbox.braintree.xml import Listed, Node
from billing.sandbox.store import Record

ITEMS_MAX = 249
_LARGEST = 2_147_483_647
_WHERE = ("transaction", "line_items")


@dataclass(frozen=True, slots=True)
class _Number:
    """The codes for a number that is missing, malformed, too small or too large."""

    malformed: str
    too_large: str
    too_small: str | None = None
    missing: str | None = None
    positive: bool = False
    places: int = 2


_TEXTS = {  # code and length
    "commodity_code": ("95801", 12),
    "description": ("95803", 127),
    "name": ("95823", 35),
    "product_code": ("95809", 12),
    "unit_of_measure": ("95821", 12),
    "upc_code": ("95831", 17),
}
_NUMBERS = {
    "quantity": _Number("95810", "95812", missing="95811", places=4),
    "unit_amount": _Number("95817", "95819", "95820", "95818", positive=True, places=4),
    "total_amount": _Number("95813", "95815", "95816", "95814", positive=True),
    "discount_amount": _Number("95804", "95805", "95806"),
    "tax_amount": _Number("95827", "95828", "95829"),
    "unit_tax_amount": _Number("95824", "95825", "95826"),
}
_FIELDS = ("kind", "image_url", "upc_type", "url", *_TEXTS, *_NUMBERS)


def problems_of(items: Any) -> list[InvalidField]:
    """Return what is wrong with the line items of a request."""
    if not isinstance(items, list):
        return []
    if len(items) > ITEMS_MAX:
        return [InvalidField(("transaction",), "line_items", "915157")]
    return [
        InvalidField((*_WHERE, f"index_{index}"), name, code)
        for index, item in enumerate(items)
        for name, code in _of_item(item if isinstance(item, dict) else {})
    ]


def _of_item(item: Record) -> Iterator[tuple[str, str]]:
    yield from _of_words(item)
    for name, (code, length) in _TEXTS.items():
        if len(str(item.get(name) or "")) > length:
            yield name, code
    for name, rule in _NUMBERS.items():
        wrong = _of_number(rule, item.get(name))
        if wrong is not None:
            yield name, wrong


def _of_words(item: Record) -> Iterator[tuple[str, str]]:
    kind = item.get("kind")
    if kind not in ("debit", "credit"):
        yield "kind", "95807" if kind else "95808"
    if not item.get("name"):
        yield "name", "95822"
    code, scheme = item.get("upc_code"), item.get("upc_type")
    if scheme and not code:
        yield "upc_code", "95830"
    if code and not scheme:
        yield "upc_type", "95832"
    if scheme and scheme not in ("UPC-A", "UPC-B", "UPC-C", "UPC-D", "UPC-E", "UPC-2", "UPC-5"):
        yield "upc_type", "95833"


def _of_number(rule: _Number, text: Any) -> str | None:
    if text is None:
        return rule.missing
    number = scaled(str(text), rule.places)
    if number is None:
        return rule.malformed
    if rule.too_small is not None and (number < 0 or (rule.positive and number == 0)):
        return rule.too_small
    return rule.too_large if number > _LARGEST * 10**rule.places else None


def _shown(name: str, value: Any) -> Any:
    """Return a field; amounts that may be nothing have their two decimals then."""
    if value is None or name not in ("discount_amount", "tax_amount", "unit_tax_amount"):
        return value
    return unscaled(scaled(str(value), 2) or 0, 2)


def find_all(call: MerchantCall) -> XmlReply:
    """Answer with the line items of a transaction."""
    items: list[Node] = [
        {name: _shown(name, item.get(name)) for name in _FIELDS}
        for item in call.named(TRANSACTION)["line_items"]
    ]
    return XmlReply(200, "line_items", Listed("line_item", items))
