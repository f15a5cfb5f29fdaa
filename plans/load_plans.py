"""Plans of a catalog file: their policy, their dated versions, and each version's history."""

import calendar
from dataclasses import dataclass
from math import gcd
from typing import Final, cast, get_args

from billing.plans.items import Item
from billing.plans.load_history import check_history, check_moves
from billing.plans.load_items import read_code, read_items
from billing.plans.load_meters import KnownMeters
from billing.plans.load_prices import read_amounts
from billing.plans.load_taxes import read_tax_terms
from billing.plans.table import Table
from billing.plans.terms import (
    ANCHORS,
    Cadence,
    CatchUpPolicy,
    ChangeCredit,
    ChangePolicy,
    ChangeTime,
    Dunning,
    Existing,
    GiveUp,
    OnDispute,
    Plan,
    PlanVersion,
)

_ANCHOR_KEYS: Final = ("anchor", *ANCHORS)
_TERMS_KEYS: Final = ("every", "trial", *_ANCHOR_KEYS)
_POLICY_KEYS: Final = ("retry_after", "then", "catch_up", "change")
_SALE_KEYS: Final = ("retired", "one_per_customer", "trial_once", "on_dispute")
_PLAN_KEYS: Final = ("code", "name", *_SALE_KEYS, *_TERMS_KEYS, *_POLICY_KEYS, "version")
_VERSION_KEYS: Final = ("effective", "existing", "price", "item", "tax", *_TERMS_KEYS)
_CHANGE_KEYS: Final = ("up", "down", "credit")

_LONGEST_CADENCE: Final = Cadence(3, "year")
_LONGEST_TRIAL: Final = Cadence(2, "year")
_LONGEST_STEP: Final = Cadence(60, "day")
_MOST_STEPS: Final = 10
_NO_TRIAL: Final = "none"
_WEEKDAYS: Final = tuple(name.lower() for name in calendar.day_name)
_CALENDAR: Final = "calendar"
_CALENDAR_KEY: Final = "anchor"
_FITTING: Final = {
    "anchor_day": "leave it out, or count in months or years",
    "anchor_weekday": "leave it out, or count in weeks",
    "anchor_month": "leave it out, or count in months that a year has room for, or in years",
    _CALENDAR_KEY: "leave it out, or count in weeks, in 1, 2, 3, 4 or 6 months, or in years",
}


@dataclass(frozen=True, slots=True)
class _Terms:
    """The terms a plan may give for all its versions, each of which may differ."""

    every: Cadence | None
    trial: Cadence | None
    anchor: "_Anchor"


@dataclass(frozen=True, slots=True)
class _Anchor:
    """Where in the calendar periods begin, as it is written; `at` is the table that says so."""

    at: Table | None = None
    calendar: bool = False
    day: int | None = None
    month: int | None = None
    weekday: int | None = None


def read_plan(table: Table, product: str, meters: KnownMeters) -> Plan | None:
    """Return the plan, or None when its code or all its versions can't be read."""
    table.refuse_unknown(_PLAN_KEYS)
    code = read_code(table, "video-basic")
    name = table.text("name", required=False)
    dunning = _read_dunning(table)
    catch_up = cast("CatchUpPolicy | None", table.choice("catch_up", get_args(CatchUpPolicy)))
    retired = table.day("retired") if table.has("retired") else None
    on_dispute = cast("OnDispute | None", table.choice("on_dispute", get_args(OnDispute)))
    change = _read_change(table)
    one_per_customer, trial_once = table.flag("one_per_customer"), table.flag("trial_once")
    terms = _read_terms(table, _Terms(None, None, _Anchor()))
    sections = table.tables("version", "[[plan.version]]")
    read = [
        (_read_version(section, table, code or "", terms, meters), section) for section in sections
    ]
    versions = [(version, section) for version, section in read if version is not None]
    versions.sort(key=lambda pair: pair[0].effective)
    check_history(versions)
    check_moves(versions)
    if code is None or not versions:
        return None
    return Plan(
        code=code,
        product=product,
        name=name or code.replace("-", " ").title(),
        dunning=dunning,
        catch_up=catch_up,
        versions=tuple(version for version, _ in versions),
        retired=retired,
        one_per_customer=one_per_customer,
        trial_once=trial_once,
        on_dispute=on_dispute or "continue",
        change=change,
    )


def _read_dunning(table: Table) -> Dunning | None:
    retry_after = table.cadences("retry_after", _LONGEST_STEP, _MOST_STEPS)
    then = cast("GiveUp | None", table.choice("then", get_args(GiveUp)))
    for key, other in (("retry_after", "then"), ("then", "retry_after")):
        if table.has(key) and not table.has(other):
            table.problem(other, f"is missing beside {key}", f"give both {key} and {other}")
    if retry_after is None or then is None:
        return None
    return Dunning(retry_after, then)


def _read_change(plan: Table) -> ChangePolicy:
    default = ChangePolicy()
    table = plan.table("change", '{ down = "now" }') if plan.has("change") else None
    if table is None:
        return default
    table.refuse_unknown(_CHANGE_KEYS)
    up = cast("ChangeTime | None", table.choice("up", get_args(ChangeTime)))
    down = cast("ChangeTime | None", table.choice("down", get_args(ChangeTime)))
    credit = cast("ChangeCredit | None", table.choice("credit", get_args(ChangeCredit)))
    return ChangePolicy(up or default.up, down or default.down, credit or default.credit)


def _read_terms(table: Table, default: _Terms) -> _Terms:
    trial = default.trial
    if table.has("trial"):
        none = table.data["trial"] == _NO_TRIAL
        trial = None if none else table.cadence("trial", _LONGEST_TRIAL)
    return _Terms(
        table.cadence("every", _LONGEST_CADENCE) if table.has("every") else default.every,
        trial,
        _read_anchor(table) if any(map(table.has, _ANCHOR_KEYS)) else default.anchor,
    )


def _read_anchor(table: Table) -> _Anchor:
    """Read where in the calendar periods begin; whether the cadence allows that is seen later."""
    weekday = table.choice("anchor_weekday", _WEEKDAYS)
    word = table.choice("anchor", [_CALENDAR])
    others = [key for key in ANCHORS if table.has(key)]
    if word is not None and others:
        what = f"says where periods begin, and so does {others[0]}"
        table.problem("anchor", what, "leave one of both out")
    if table.has("anchor_month") and not table.has("anchor_day"):
        table.problem("anchor_day", "is missing beside anchor_month", "add a line: anchor_day = 1")
    return _Anchor(
        at=table,
        calendar=word is not None,
        day=table.integer("anchor_day", 1, 31),
        month=table.integer("anchor_month", 1, 12),
        weekday=None if weekday is None else _WEEKDAYS.index(weekday) + 1,
    )


def _anchored(anchor: _Anchor, every: Cadence) -> tuple[int | None, int | None, int | None]:
    """Return day, month and weekday of an anchor with a cadence; note what can't be with it."""
    months = {"month": 1, "year": 12}.get(every.unit, 0) * every.count
    day, month, weekday = anchor.day, anchor.month, anchor.weekday
    if anchor.calendar and every.unit == "week":
        weekday = 1
    elif anchor.calendar:
        day, month = 1, None if months == 1 else 1
    refused = {
        "anchor_day": anchor.day is not None and not months,
        "anchor_weekday": anchor.weekday is not None and every.unit != "week",
        "anchor_month": anchor.month is not None and gcd(months, 12) == 1,
        _CALENDAR_KEY: anchor.calendar
        and every.unit != "week"
        and (not months or (months != 1 and gcd(months, 12) == 1)),
    }
    for key in [key for key, is_refused in refused.items() if is_refused and anchor.at]:
        assert anchor.at is not None
        what = f"means nothing where a period is {every}"
        anchor.at.problem(key, what, _FITTING[key])
    return day, month, weekday


def _read_version(
    table: Table, plan: Table, code: str, default: _Terms, meters: KnownMeters
) -> PlanVersion | None:
    table.refuse_unknown(_VERSION_KEYS)
    effective = table.day("effective")
    existing = cast("Existing | None", table.choice("existing", get_args(Existing)))
    terms = _read_terms(table, default)
    if not table.has("every") and not plan.has("every"):
        table.problem("every", "is missing", 'add every = "1 month" to the plan or the version')
    sold, tax = _read_sold(table, meters), read_tax_terms(table)
    if terms.every is None:
        return None
    day, month, weekday = _anchored(terms.anchor, terms.every)
    if effective is None or sold is None:
        return None
    prices, items = sold
    return PlanVersion(
        plan=code,
        effective=effective,
        existing=existing or "keep",
        every=terms.every,
        trial=terms.trial,
        prices=prices,
        items=items,
        anchor_day=day,
        anchor_month=month,
        anchor_weekday=weekday,
        tax=tax,
    )


def _read_sold(
    version: Table, meters: KnownMeters
) -> tuple[dict[str, int], tuple[Item, ...]] | None:
    """Read the price of the only item, or the items."""
    if not version.has("item"):
        prices = read_amounts(version, "price", needed=True)
        return None if prices is None else (prices, ())
    if version.has("price"):
        what = "is the price of a version without items, and this one has items"
        version.problem("price", what, "move it into the item that it is for")
    items = read_items(version, meters)
    return None if items is None else ({}, items)
