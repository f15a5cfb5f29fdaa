"""Sentences about what publishing the catalog changes."""

from collections.abc import Iterator, Mapping
from typing import Any

from billing.flows.subscriptions.catalog import CatalogChange, CatalogChangeKind, TermDifference
from billing.rules.money import Money


def words(change: CatalogChange) -> str:  # noqa: C901  one case a kind
    """Tell one difference between the catalog and what is published."""
    match change.kind:
        case CatalogChangeKind.NEW_PLAN:
            return f"new plan {change.name!r}"
        case CatalogChangeKind.NEW_VERSION:
            moves = "; existing subscriptions move to it from their next period on"
            prices = ", ".join(map(str, change.prices))
            return f"new version: {prices}{moves if change.moves else ''}"
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
    if isinstance(each.before, Mapping) and isinstance(each.after, Mapping):
        if each.name == "prices":
            return f"prices: {', '.join(_prices(each.before, each.after))}"
        return f"{each.name}: {_ladder(each.before)} -> {_ladder(each.after)}"

    def shown(value: Any) -> str:
        if value is None:
            return absent
        return _ladder(value) if isinstance(value, Mapping) else str(value)

    return f"{each.name}: {shown(each.before)} -> {shown(each.after)}"


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
