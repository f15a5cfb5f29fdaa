"""Sentences about what publishing the catalog changes."""

from typing import Any

from billing.flows.subscriptions.catalog import CatalogChange, CatalogChangeKind, TermDifference


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
    def shown(value: Any) -> str:
        return absent if value is None else str(value)

    return f"{each.name}: {shown(each.before)} -> {shown(each.after)}"
