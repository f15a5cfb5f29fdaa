"""Checks of dated versions against those before them, in the order of their dates."""

from collections.abc import Iterator, Sequence
from typing import Final, Protocol, TypeVar

from billing.plans.items import Item, ItemKind
from billing.plans.table import Table
from billing.plans.terms import ANCHORS, Dated, PlanVersion


class _Sold(Dated, Protocol):
    """Dated terms of something that is sold."""

    @property
    def currencies(self) -> frozenset[str]: ...

    @property
    def sold(self) -> tuple[Item, ...]: ...


_V = TypeVar("_V", bound=_Sold)
_READ = Sequence[tuple[_V, Table]]
_WORDS: Final = {
    ItemKind.FLAT: "had no quantity",
    ItemKind.LICENSED: "had a quantity",
    ItemKind.METERED: "counted usage",
}


def check_history(versions: _READ[_V]) -> None:
    """Check what every sort of version promises to those who hold an earlier one."""
    for version, earlier, table in _with_earlier(versions):
        if not earlier:
            if version.existing == "move":
                what = "'move' means nothing in the first version: nobody holds an earlier one"
                table.problem("existing", what, "leave it out")
            continue
        if earlier[-1].effective == version.effective:
            what = f"{version.effective} is the date of another version"
            table.problem("effective", what, "give each version a date of its own")
        _check_currencies(version, earlier, table)
        if version.existing == "move":
            _check_items(version, earlier, table)


def check_moves(versions: _READ[PlanVersion]) -> None:
    """Check that a version which moves subscriptions leaves their periods as they are.

    They are counted from a subscription's start: only its prices may move.
    """
    for version, earlier, table in _with_earlier(versions):
        if version.existing != "move":
            continue
        for key in ("every", *ANCHORS):
            if any(getattr(before, key) != getattr(version, key) for before in earlier):
                what = "can't change for subscriptions that exist, and this version moves them"
                remedy = 'write existing = "keep", or make a plan of another code'
                table.problem(key, f"{what} ({key})", remedy)


def _with_earlier(versions: _READ[_V]) -> Iterator[tuple[_V, list[_V], Table]]:
    for index, (version, table) in enumerate(versions):
        yield version, [before for before, _ in versions[:index]], table


def _check_currencies(version: _V, earlier: Sequence[_V], table: Table) -> None:
    dropped = {currency for before in earlier for currency in before.currencies}
    for currency in sorted(dropped - version.currencies):
        what = f"drops {currency}: subscriptions in {currency} would have no price"
        remedy = f"add a price in {currency}, or use another code"
        table.problem("item" if table.has("item") else "price", what, remedy)


def _check_items(version: _V, earlier: Sequence[_V], table: Table) -> None:
    """Who holds an item of an earlier version has to hold the same sort of it in this one."""
    kinds = {item.code: item.kind for item in version.sold}
    held = {(item.code, item.kind) for before in earlier for item in before.sold}
    for code, kind in sorted(held):
        if kind is ItemKind.ONCE or kinds.get(code) is kind:
            continue
        if code not in kinds:
            what = f"moves those who hold the item {code!r}, which isn't sold any more"
            table.problem("existing", what, f'add the item {code!r}, or write existing = "keep"')
        else:
            what = f"moves those who hold the item {code!r}, which {_WORDS[kind]} before"
            remedy = 'leave that as it was, write existing = "keep", or use another code'
            table.problem("existing", what, remedy)
