"""Both sides of a break, side by side, and what differs: which columns that is follows its kind."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from billing.presenters.text import amount
from billing.rules.reconciliation import BreakKind

Side = Mapping[str, Any]

_AMOUNTS: Final[Mapping[str, str]] = {
    "amount": "currency",
    "net": "currency",
    "fee": "currency",
    "captured": "currency",
    "refunded": "currency",
    "unexplained": "currency",
    "customer_amount": "customer_currency",
}
"""The keys that are amounts, and the key of their currency."""
_COMPARED: Final = frozenset({*_AMOUNTS, "currency", "exchange_rate", "status", "category"})
_LEFT_OUT: Final = frozenset({"unadjusted", "reasons"})


@dataclass(frozen=True, slots=True)
class SideLine:
    """One fact that a side has, or both have, as texts; an absent one is empty."""

    what: str
    ours: str
    theirs: str
    differs: bool


def lines(ours: Side, theirs: Side) -> list[SideLine]:
    """Return what both sides say, ours first."""
    names = dict.fromkeys((*ours, *theirs))
    return [
        SideLine(
            name.replace("_", " "),
            _told(ours, name),
            _told(theirs, name),
            name in _COMPARED and name in ours and name in theirs and ours[name] != theirs[name],
        )
        for name in names
        if name not in _LEFT_OUT
    ]


def difference(kind: BreakKind, ours: Side, theirs: Side) -> str:
    """Return what a break is about in a few words: the fee, the rate, or the amounts."""
    match kind:
        case BreakKind.FEE_MISMATCH:
            return f"a fee of {_told(theirs, 'fee')} on {_told(theirs, 'amount')}"
        case BreakKind.FX_MISMATCH:
            rate = theirs.get("exchange_rate")
            made = _told(theirs, "customer_amount") or _told(ours, "amount")
            return f"{made} became {_told(theirs, 'amount')}" + (f" at {rate}" if rate else "")
        case BreakKind.UNREADABLE_OBJECT:
            return str(theirs.get("problem", ""))
        case BreakKind.BALANCE_MISMATCH:
            return f"{_told(theirs, 'unexplained')} that nothing explains"
        case BreakKind.DISPUTE_UNKNOWN | BreakKind.REFUND_UNKNOWN:
            return "; ".join(_amounts({}, theirs))
        case _:
            return "; ".join(_amounts(ours, theirs))


def _amounts(ours: Side, theirs: Side) -> Iterator[str]:
    here, there = _told(ours, "amount"), _told(theirs, "amount")
    if here and there and ours.get("currency") == theirs.get("currency"):
        more = theirs["amount"] - ours["amount"]
        if more:
            sign = "+" if more > 0 else ""
            yield f"{here} here, {there} there: {sign}{amount(more, ours['currency'])}"
        else:
            yield f"{there} on both sides"
    elif here and there:
        yield f"{here} here, {there} there"
    elif there:
        yield f"{there}, only there"
    elif here:
        yield f"{here}, only here"


def _told(side: Side, name: str) -> str:
    value = side.get(name)
    if value is None:
        return ""
    if name in _AMOUNTS and isinstance(value, int):
        return amount(value, side.get(_AMOUNTS[name]))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {each}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)
