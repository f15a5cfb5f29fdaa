"""Tiers of an item: steps of a quantity, each with its price, the last one without an end."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Final, cast, get_args

from billing.plans.items import Tier, Tiering
from billing.plans.load_prices import read_amounts, read_unit_prices
from billing.plans.table import Table

_TIER_KEYS: Final = ("up_to", "unit", "flat")
_MOST_UP_TO: Final = 10**15
_MOST_TIERS: Final = 100
_SECTION: Final = 'tier = [{ up_to = 5, unit = { USD = "9.99" } }, ...]'


def read_tiers(item: Table) -> tuple[Tiering | None, tuple[Tier, ...]]:
    """Read an item's tiers and how they are used; none where it has none, or a bad one."""
    if not item.has("tiers") and not item.has("tier"):
        return None, ()
    if not item.has("tiers"):
        item.problem("tiers", "is missing beside tier", 'add tiers = "graduated", or "volume"')
    tiering = cast("Tiering | None", item.choice("tiers", get_args(Tiering)))
    sections = item.tables("tier", _SECTION)
    if len(sections) > _MOST_TIERS:
        item.problem("tier", f"has {len(sections)} tiers", f"write at most {_MOST_TIERS}")
        return None, ()
    read = [_read_tier(section) for section in sections]
    rising = _check_rising(sections)
    tiers = tuple(tier for tier in read if tier is not None)
    if tiering is None or not rising or len(tiers) < len(read):
        return None, ()
    return tiering, tiers


def _read_tier(table: Table) -> Tier | None:
    table.refuse_unknown(_TIER_KEYS)
    up_to = table.integer("up_to", 1, _MOST_UP_TO)
    unit, flat = read_unit_prices(table, "unit"), read_amounts(table, "flat")
    if not table.has("unit") and not table.has("flat"):
        table.problem("unit", "is missing", 'add unit = { USD = "9.99" }, or "0" for free units')
    if not (unit or flat):
        return None
    nothing = {currency: Fraction(0) for currency in flat or {}}
    return Tier(up_to, unit or nothing, flat or {})


def _check_rising(tiers: Sequence[Table]) -> bool:
    """Note tiers that don't begin where the one before ends, or leave a quantity without price."""
    good, before = True, 0
    for table in tiers[:-1]:
        end = table.data.get("up_to")
        if end is None:
            what = "is missing, and only the last tier has no end"
            table.problem("up_to", what, "add how far it goes: up_to = 5")
        elif type(end) is int and end <= before:
            what = f"{end} doesn't rise: the tier before it goes up to {before}"
            table.problem("up_to", what, f"write at least {before + 1}")
        else:
            before = end if type(end) is int else before
            continue
        good = False
    if tiers and tiers[-1].has("up_to"):
        what = "ends the last tier, so that no more units would have a price"
        tiers[-1].problem("up_to", what, "leave it out, or add a tier without up_to")
        good = False
    return good
