"""Meters of a catalog, and the items that bill what they count."""

from datetime import timedelta
from fractions import Fraction
from pathlib import Path

import pytest

from billing.plans.catalogs import Catalog
from billing.plans.items import Item, ItemKind
from billing.plans.load import CatalogError, load_catalog
from billing.plans.meters import LATE_FOR, Aggregate, Meter

METERS = """\
[[meter]]
code = "searches"
event = "search"
value = "n"
aggregate = "sum"
where = { region = ["us", "eu"] }

[[meter]]
code = "exports"
event = "export"

[[meter]]
code = "users"
event = "session.started"
key = "user"
aggregate = "unique"
"""
PLAN = """\
product = "Search API"

[[plan]]
code = "api-team"
every = "1 month"

  [[plan.version]]
  effective = 2027-01-01

    [[plan.version.item]]
    code = "searches"
    meter = "searches"
    included = "10000.5"
    unit = { USD = "0.0008" }
    minimum = { USD = "50.00" }
    maximum = { USD = "5000.00" }
    late_for = "2 weeks"

    [[plan.version.item]]
    code = "exports"
    meter = "exports"
    package = { size = 100, price = { USD = "5.00" } }
    bills_trial = true

[[addon]]
code = "people"
fits = ["api-team"]

  [[addon.version]]
  effective = 2027-01-01
  meter = "users"
  price = { USD = "1.5" }
"""
SEARCHES = Meter("searches", "search", Aggregate.SUM, "n", where={"region": ("eu", "us")})
EXPORTS = Meter("exports", "export")
USERS = Meter("users", "session.started", Aggregate.UNIQUE, key="user")


def read(folder: Path, plan: str = PLAN, meters: str = METERS) -> Catalog:
    folder.joinpath("api.toml").write_text(plan)
    folder.joinpath("meters.toml").write_text(meters)
    return load_catalog(folder)


def test_items_name_meters_of_any_file(tmp_path: Path) -> None:
    catalog = read(tmp_path)

    searches, exports = catalog.plans["api-team"].versions[0].items
    assert searches == Item(
        "searches",
        meter=SEARCHES,
        included=Fraction("10000.5"),
        unit={"USD": Fraction("0.08")},
        minimum={"USD": 5000},
        maximum={"USD": 500000},
        late_for=timedelta(days=14),
    )
    assert (exports.meter, exports.late_for, exports.bills_trial) == (EXPORTS, LATE_FOR, True)
    people = catalog.addons["people"].versions[0].item
    assert (people.meter, people.unit, people.kind) == (
        USERS, {"USD": Fraction(150)}, ItemKind.METERED,
    )  # fmt: skip
    assert catalog.meters == {"exports": EXPORTS, "searches": SEARCHES, "users": USERS}


def test_an_alert_is_a_percentage_of_what_is_included(tmp_path: Path) -> None:
    plan = PLAN.replace('"10000.5"', '"10000.5"\n    alert = 80')

    (searches, _) = read(tmp_path, plan).plans["api-team"].versions[0].items

    assert searches.alert == 80


def test_a_level_has_no_alert(tmp_path: Path) -> None:
    plan = PLAN.replace('"10000.5"', '"10000.5"\n    alert = 80')

    with pytest.raises(CatalogError) as refused:
        read(tmp_path, plan, METERS.replace('"sum"', '"level"'))

    assert "known when its period is over" in str(refused.value)


def test_another_definition_of_a_meter_is_another_version(tmp_path: Path) -> None:
    (before,) = read(tmp_path).plans["api-team"].versions

    meters = METERS.replace('"sum"', '"max"')
    (after,) = read(tmp_path, meters=meters).plans["api-team"].versions

    assert before.digest() != after.digest()


ITEM = "plan.version.item."
# what is written instead of what, and the problem it makes: its key, and words of it
MISTAKES = {
    "no such meter": ('meter = "exports"', 'meter = "export"', ITEM + "meter", "mean 'exports'"),
    "usage of what is held": (
        'meter = "exports"', 'meter = "exports"\n    per = "x"', ITEM + "per", "usage is counted",
    ),
    "a quantity of usage": (
        'meter = "exports"', 'meter = "exports"\n    quantity = { min = 1 }', ITEM + "quantity",
        "usage is counted",
    ),
    "usage once": (
        "bills_trial = true", "once = true", ITEM + "once", "usage is counted",
    ),
    "one meter for two items": (
        'meter = "exports"', 'meter = "searches"', ITEM + "meter", "the meter of the item at",
    ),
    "one meter for an item and an add-on": (
        'meter = "users"', 'meter = "exports"', "addon.fits", "so does the plan 'api-team'",
    ),
    "late by months": ("2 weeks", "1 month", ITEM + "late_for", "no fixed length"),
    "late for ever": ("2 weeks", "400 days", ITEM + "late_for", "longer than is sensible"),
    "less than nothing included": ('"10000.5"', '"0"', ITEM + "included", "no number of units"),
    "an alert of nothing included": (
        "bills_trial = true", "alert = 80", ITEM + "alert", "there are none",
    ),
    "an alert beyond all": (
        '"10000.5"', '"10000.5"\n    alert = 101', ITEM + "alert", "from 1 to 100",
    ),
    "the price of usage twice": (
        "bills_trial = true", 'unit = { USD = "1" }', ITEM + "package", "so does unit",
    ),
}  # fmt: skip
OF_METERS = {
    "no event": ('event = "export"\n', "", "meter.event", "is missing"),
    "an event with a space": ('"export"', '"an export"', "meter.event", "is no name"),
    "a bad code": ('code = "users"', 'code = "Users"', "meter.code", "is no code"),
    "a sum of nothing": ('value = "n"\n', "", "meter.value", "sum reads a value"),
    "a value that isn't read": (
        'event = "export"', 'event = "export"\nvalue = "n"', "meter.value", "isn't read",
    ),
    "different values of nothing": ('key = "user"\n', "", "meter.key", "unique reads a key"),
    "a key that isn't read": (
        'event = "export"', 'event = "export"\nkey = "n"', "meter.key", "isn't read",
    ),
    "an unknown aggregate": ('"sum"', '"average"', "meter.aggregate", "is not possible here"),
    "a misspelt key": (
        "aggregate = \"sum\"", "aggregation = \"sum\"", "meter.aggregation", "mean 'aggregate'",
    ),
    "a condition that is no list": (
        '["us", "eu"]', '"eu"', "meter.where.region", "a list of texts",
    ),
    "no condition": ('{ region = ["us", "eu"] }', "{}", "meter.where", "is empty"),
    "a condition on what has no name": (
        "{ region =", '{ "a region" =', "meter.where.a region", "no name of a property",
    ),
    "two meters of one code": ('"exports"', '"searches"', "meter.code", "taken by the meter at"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "key", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_of_an_item_is_named(
    tmp_path: Path, old: str, new: str, key: str, words: str
) -> None:
    assert old in PLAN

    with pytest.raises(CatalogError) as refused:
        read(tmp_path, plan=PLAN.replace(old, new, 1))

    told = [each.key for each in refused.value.problems if words in str(each)]
    assert told == [key], refused.value.problems


@pytest.mark.parametrize(("old", "new", "key", "words"), OF_METERS.values(), ids=OF_METERS)
def test_a_mistake_of_a_meter_is_named(
    tmp_path: Path, old: str, new: str, key: str, words: str
) -> None:
    assert old in METERS

    with pytest.raises(CatalogError) as refused:
        read(tmp_path, meters=METERS.replace(old, new, 1))

    told = [each.key for each in refused.value.problems if words in str(each)]
    assert told == [key], refused.value.problems
    assert all(each.remedy for each in refused.value.problems)


def test_a_meter_with_a_mistake_is_a_meter_all_the_same(tmp_path: Path) -> None:
    with pytest.raises(CatalogError) as refused:
        read(tmp_path, meters=METERS.replace('event = "export"', "event = 5"))

    assert [each.key for each in refused.value.problems] == ["meter.event"]
