"""Sentences about what publishing the catalog changes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from billing.flows.subscriptions.catalog import (
    CatalogChange,
    CatalogChangeKind,
    CatalogSubject,
    TermDifference,
)
from billing.plans.item_terms import item_from_terms
from billing.plans.meters import meter_from_terms
from billing.presenters.prices import item_words, meter_words, price_words
from billing.rules.money import Money

_NOUNS = {
    CatalogSubject.ADDON: "add-on ",
    CatalogSubject.COUPON: "coupon ",
    CatalogSubject.METER: "meter ",
    CatalogSubject.TAX_RATE: "tax rate ",
}
_AMOUNTS = ("prices", "amount")


def subject(change: CatalogChange) -> str:
    """Name what a difference is about: a plan by its code alone."""
    return f"{_NOUNS.get(change.subject, '')}{change.code}"


def words(change: CatalogChange) -> str:  # noqa: C901  one case a kind
    """Tell one difference between the catalog and what is published."""
    match change.kind:
        case CatalogChangeKind.NEW_PLAN:
            return f"new plan {change.name!r}"
        case CatalogChangeKind.NEW_ADDON:
            return f"new add-on {change.name!r}"
        case CatalogChangeKind.NEW_COUPON:
            return f"new coupon: {'; '.join(map(_term, change.differences))}"
        case CatalogChangeKind.NEW_RATE:
            return f"new rate: {'; '.join(map(_term, change.differences))}"
        case CatalogChangeKind.NEW_VERSION:
            moves = "; existing subscriptions move to it from their next period on"
            prices = ", ".join(map(str, change.prices))
            items = "; ".join(map(item_words, change.items))
            return f"new version: {prices}{items}{moves if change.moves else ''}"
        case CatalogChangeKind.CORRECTED:
            differences = "; ".join(_difference(each, absent="None") for each in change.differences)
            return f"nothing uses it yet, corrected: {differences}"
        case CatalogChangeKind.WITHDRAWN:
            return "nothing uses it yet, and the catalog has it no more: taken out"
        case CatalogChangeKind.POLICY:
            return "; ".join(_difference(each, absent="(default)") for each in change.differences)
        case CatalogChangeKind.CHANGED_TERMS:
            return "; ".join(_difference(each, absent="None") for each in change.differences)
        case CatalogChangeKind.NOT_IN_CATALOG:
            if change.effective is None:
                return "published, but no longer in the catalog: it stays as it is"
            return "published, not in the catalog"


def effects(change: CatalogChange) -> str:
    """Tell what a version that moves subscriptions moves."""
    return "".join(
        f"; {effect.subscriptions} subscription(s) from {effect.before} to {effect.after} a period"
        for effect in change.effects
    )


def _difference(each: TermDifference, *, absent: str) -> str:
    if each.name == "items":
        return "; ".join(_items(each.before or (), each.after or ()))
    if each.name in _AMOUNTS and each.before is not None and each.after is not None:
        return f"{each.name}: {', '.join(_prices(each.before, each.after))}"
    before, after = (
        absent if value is None else _shown(each.name, value) for value in (each.before, each.after)
    )
    return f"{each.name}: {before} -> {after}"


def _term(each: TermDifference) -> str:
    return f"{each.name} {_shown(each.name, each.after)}"


def _shown(name: str, value: Any) -> str:
    """Tell one value as it is stored."""
    if name in _AMOUNTS:
        return ", ".join(str(Money(amount, code)) for code, amount in sorted(value.items()))
    if name == "item":
        return price_words(item_from_terms({**value, "code": name}))
    if name == "tax":
        included = {True: ", in the price", False: ", on top", None: ""}[value.get("included")]
        return f"{value.get('class', 'as usual')}{included}"
    if name == "change":
        return ", ".join(f"{key} {word}" for key, word in value.items())
    if isinstance(value, Mapping):
        return _ladder(value)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _items(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """Yield each item that differs, with what it costs."""
    old, new = ({terms["code"]: terms for terms in each} for each in (before, after))
    for code in [*old, *(code for code in new if code not in old)]:
        if code not in new:
            yield f"item {code} is gone"
        elif code not in old:
            yield f"item {item_words(item_from_terms(new[code]))} is new"
        elif old[code] != new[code]:
            yield f"item {code}: {', '.join(_changed(old[code], new[code]))}"
    if old == new:
        yield f"items in another order: {', '.join(new)}"


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    old, new = (price_words(item_from_terms(terms)) for terms in (before, after))
    if old != new:
        yield f"{old} -> {new}"
    for key in ("name", "quantity", "meter", "late_for", "bills_trial"):
        if before.get(key) != after.get(key):
            yield f"{key} {_plain(before.get(key))} -> {_plain(after.get(key))}"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping) and "event" in value:
        return meter_words(meter_from_terms(value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {number}" for key, number in value.items())
    return "None" if value is None else str(value)


def _prices(before: Mapping[str, int], after: Mapping[str, int]) -> Iterator[str]:
    """Yield each price that differs, as money."""
    for currency in sorted({*before, *after}):
        old, new = before.get(currency), after.get(currency)
        if old is None and new is not None:
            yield f"{Money(new, currency)} is new"
        elif new is None and old is not None:
            yield f"{Money(old, currency)} is gone"
        elif old is not None and new is not None and old != new:
            yield f"{Money(old, currency)} -> {Money(new, currency)}"


def _ladder(stored: Mapping[str, Any]) -> str:
    """Tell a stored ladder: after how long each attempt is made, and what follows."""
    steps = ", ".join(map(str, stored.get("retry_after", ()))) or "no further attempt"
    return f"{steps}, then {stored.get('then')}"
