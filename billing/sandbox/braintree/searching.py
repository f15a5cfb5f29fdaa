"""Searches: the criteria of Braintree's advanced searches, over a kind of objects.

The SDK asks for all ids first and then fetches page by page, naming them under `ids`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from billing.sandbox.braintree.call import MerchantCall
from billing.sandbox.braintree.money import comparable
from billing.sandbox.braintree.replies import Failing, XmlReply, failure
from billing.sandbox.braintree.xml import Listed, Node, Repeated
from billing.sandbox.store import Record

PAGE_SIZE = 50
_FORMATS = (
    "%Y-%m-%dT%H:%M:%SZ",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y",
)
Values = Callable[[MerchantCall, Record], list[Any]]


@dataclass(frozen=True, slots=True)
class Field:
    """What one criterion looks at: a text, list, time, day, amount, card's number or flag.

    `column` is the SQL expression that the store narrows the search with, and `stored` makes of a
    value what stands there.
    """

    kind: str
    values: Values
    column: str | None = None
    stored: Callable[[MerchantCall, str], str] | None = None


def matches(call: MerchantCall, kind: str, fields: Mapping[str, Field]) -> list[Record]:
    """Return the merchant's objects that meet all criteria, newest first. Raises: Failing."""
    criteria = call.params.get("search") or {}
    for name in criteria:
        if name not in fields:
            raise Failing(failure({}, f"The sandbox can't search by {name}."))
    tests = [(fields[name], _readable(fields[name], wish)) for name, wish in criteria.items()]
    conditions = [each for field, wish in tests for each in _narrowed(call, field, wish)]
    found = call.select(kind, conditions)
    return [
        each
        for each in found
        if not each.get("hidden")
        and all(_met(field, wish, field.values(call, each)) for field, wish in tests)
    ]


def _readable(field: Field, wish: Any) -> Any:
    """Return a criterion with its values as they are compared."""
    if field.kind == "card" and isinstance(wish, dict):
        return {word: _of_card(word, str(value)) for word, value in wish.items()}
    read = _READERS.get(field.kind)
    if read is None:
        return wish
    if isinstance(wish, dict):
        return {word: read(str(value)) for word, value in wish.items()}
    return wish


def _of_card(word: str, text: str) -> str:
    """Return what can be compared of a card's number: its first six and last four digits."""
    if word == "starts_with":
        return text[:6]
    return text[-4:] if word == "ends_with" else masked(text[:6], text[-4:])


def masked(start: str, end: str) -> str:
    """Return a card's number as it is compared."""
    return f"{start}******{end}"


def _narrowed(call: MerchantCall, field: Field, wish: Any) -> list[tuple[str, Any]]:
    """Return the SQL conditions that a criterion implies."""
    if field.column is None:
        return []

    def stored(value: Any) -> Any:
        return value if field.stored is None else field.stored(call, value)

    if isinstance(wish, list):
        marks = ", ".join("?" * len(wish))
        return [(f"{field.column} IN ({marks})", tuple(stored(value) for value in wish))]
    signs = {"is": "=", "min": ">=", "max": "<="}
    return [
        (f"{field.column} {signs[word]} ?", stored(value))
        for word, value in wish.items()
        if word in signs and value is not None
    ]


def _met(field: Field, wish: Any, values: list[Any]) -> bool:
    if field.kind == "flag":
        return values == [str(wish).lower() == "true"]
    if isinstance(wish, list):
        return any(value in wish for value in values)
    return all(
        _COMPARISONS[word](values, wanted)
        for word, wanted in wish.items()
        if word in _COMPARISONS and wanted is not None
    )


_COMPARISONS: dict[str, Callable[[list[Any], Any], bool]] = {
    "is": lambda values, wanted: wanted in values,
    "is_not": lambda values, wanted: wanted not in values,
    "starts_with": lambda values, wanted: any(each.startswith(wanted) for each in values),
    "ends_with": lambda values, wanted: any(each.endswith(wanted) for each in values),
    "contains": lambda values, wanted: any(wanted in each for each in values),
    "min": lambda values, wanted: any(each >= wanted for each in values),
    "max": lambda values, wanted: any(each <= wanted for each in values),
}


def read_time(text: str) -> int | None:
    """Return the instant that a text names, in UTC; None for no such text."""
    for form in _FORMATS:
        try:
            return int(datetime.strptime(text, form).replace(tzinfo=UTC).timestamp())
        except ValueError:
            continue
    return None


def read_day(text: str) -> str | None:
    """Return the date that a text begins with, or means; None for no such text."""
    if re.match(r"\d{4}-\d\d-\d\d", text):
        at = read_time(text[:10])
        return None if at is None else text[:10]
    at = read_time(text)
    return None if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


_READERS: dict[str, Callable[[str], Any]] = {
    "time": read_time,
    "day": read_day,
    "amount": comparable,
}


def text_of(values: Iterable[Any]) -> list[str]:
    """Return what there is of values, as texts."""
    return [str(value) for value in values if value is not None]


def search_ids(found: list[Record]) -> XmlReply:
    """Return the first half of a search: the ids."""
    ids = Listed("item", [each["ref"] for each in found])
    return XmlReply(200, "search_results", {"page_size": PAGE_SIZE, "ids": ids})


def page(root: str, name: str, nodes: list[Node]) -> XmlReply:
    """Return the second half of a search: the objects that were asked for."""
    return XmlReply(
        200,
        root,
        {
            "current_page_number": 1,
            "page_size": PAGE_SIZE,
            "total_items": len(nodes),
            name: Repeated(nodes),
        },
    )
