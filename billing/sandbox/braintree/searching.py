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
from billing.sandbox.braintree.replies import Failing, Reply, failure
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
    """What one criterion looks at: a text, list, time, day or amount, or a flag.

    `column` is the SQL expression that the store narrows the search with.
    """

    kind: str
    values: Values
    column: str | None = None


def matches(call: MerchantCall, kind: str, fields: Mapping[str, Field]) -> list[Record]:
    """Return the merchant's objects that meet all criteria, newest first. Raises: Failing."""
    criteria = call.params.get("search") or {}
    for name in criteria:
        if name not in fields:
            raise Failing(failure({}, f"The sandbox can't search by {name}."))
    tests = [(fields[name], _readable(fields[name], wish)) for name, wish in criteria.items()]
    conditions = [each for field, wish in tests for each in _narrowed(field, wish)]
    found = call.select(kind, conditions)
    return [
        each
        for each in found
        if all(_met(field, wish, field.values(call, each)) for field, wish in tests)
    ]


def _readable(field: Field, wish: Any) -> Any:
    """Return a criterion with its values as they are compared."""
    read = _READERS.get(field.kind)
    if read is None:
        return wish
    if isinstance(wish, dict):
        return {word: read(str(value)) for word, value in wish.items()}
    return wish


def _narrowed(field: Field, wish: Any) -> list[tuple[str, Any]]:
    """Return the SQL conditions that a criterion implies."""
    if field.column is None:
        return []
    if isinstance(wish, list):
        return [(f"{field.column} IN ({', '.join('?' * len(wish))})", tuple(wish))] if wish else []
    signs = {"is": "=", "min": ">=", "max": "<="}
    return [
        (f"{field.column} {signs[word]} ?", value)
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


def search_ids(found: list[Record]) -> Reply:
    """Return the first half of a search: the ids."""
    ids = Listed("item", [each["ref"] for each in found])
    return Reply(200, "search_results", {"page_size": PAGE_SIZE, "ids": ids})


def page(root: str, name: str, nodes: list[Node]) -> Reply:
    """Return the second half of a search: the objects that were asked for."""
    return Reply(
        200,
        root,
        {
            "current_page_number": 1,
            "page_size": PAGE_SIZE,
            "total_items": len(nodes),
            name: Repeated(nodes),
        },
    )
