"""Items, add-ons and coupons of a catalog: read exactly, every mistake named with its place."""

from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest

from billing.plans.catalogs import Catalog
from billing.plans.coupons import Coupon
from billing.plans.items import Item, ItemKind, Package, PriceModel, QuantityRange, Tier
from billing.plans.load import CatalogError, CatalogProblem, load_catalog

GOOD = """\
product = "Search API"

[[plan]]
code = "api-team"
every = "1 month"

  [[plan.version]]
  effective = 2027-01-01

    [[plan.version.item]]
    code = "base"
    name = "Team"
    price = { USD = "99.00", EUR = "95.00" }

    [[plan.version.item]]
    code = "seats"
    per = "seat"
    quantity = { min = 2, max = 500, default = 5 }
    tiers = "graduated"
    tier = [
      { up_to = 5, unit = { USD = "0", EUR = "0" } },
      { up_to = 50, unit = { USD = "12.00", EUR = "11.00" } },
      { unit = { USD = "9.5", EUR = "8.80" }, flat = { USD = "100.00", EUR = "90.00" } },
    ]

    [[plan.version.item]]
    code = "exports"
    per = "export"
    package = { size = 100, price = { USD = "5.00", EUR = "4.60" }, round = "down" }
    included = "200"
    maximum = { USD = "80.00", EUR = "70.00" }

    [[plan.version.item]]
    code = "searches"
    per = "search"
    unit = { USD = "0.0008", EUR = "0.000000000007" }
    minimum = { USD = "1.00", EUR = "0.90" }

    [[plan.version.item]]
    code = "setup"
    once = true
    price = { USD = "199.00", EUR = "189.00" }

[[addon]]
code = "sso"
name = "Single sign-on"
fits = ["api-team"]

  [[addon.version]]
  effective = 2027-01-01
  price = { USD = "49.00" }

  [[addon.version]]
  effective = 2027-06-01
  existing = "move"
  price = { USD = "59.00" }

[[coupon]]
code = "spring"
percent = "12.5"
on = ["seats", "base"]
for = "3 invoices"
until = 2027-06-30
limit = 1000
stack = 10

[[coupon]]
code = "welcome"
amount = { USD = "20.00" }
for = "once"
rest = "kept"
"""


def test_items_are_read_exactly(tmp_path: Path) -> None:
    (version,) = read(tmp_path, GOOD).plans["api-team"].versions

    assert version.prices == {}
    assert version.currencies == {"USD", "EUR"}
    assert version.items == (
        Item("base", name="Team", price={"USD": 9900, "EUR": 9500}),
        Item(
            "seats",
            per="seat",
            quantity=QuantityRange(2, 500, 5),
            tiering="graduated",
            tiers=(
                Tier(5, {"USD": Fraction(0), "EUR": Fraction(0)}),
                Tier(50, {"USD": Fraction(1200), "EUR": Fraction(1100)}),
                Tier(
                    None, {"USD": Fraction(950), "EUR": Fraction(880)}, {"USD": 10000, "EUR": 9000}
                ),
            ),
        ),
        Item(
            "exports",
            per="export",
            quantity=QuantityRange(),
            package=Package(100, {"USD": 500, "EUR": 460}, "down"),
            included=Fraction(200),
            maximum={"USD": 8000, "EUR": 7000},
        ),
        Item(
            "searches",
            per="search",
            quantity=QuantityRange(),
            unit={"USD": Fraction(8, 100), "EUR": Fraction(7, 10**10)},
            minimum={"USD": 100, "EUR": 90},
        ),
        Item("setup", once=True, price={"USD": 19900, "EUR": 18900}),
    )
    assert [item.kind for item in version.items] == [
        ItemKind.FLAT, ItemKind.LICENSED, ItemKind.LICENSED, ItemKind.LICENSED, ItemKind.ONCE,
    ]  # fmt: skip


def test_the_price_of_an_item_with_units_is_that_of_a_unit(tmp_path: Path) -> None:
    tiers = GOOD[GOOD.index("    tiers =") : GOOD.index("    ]\n") + 6]
    text = GOOD.replace(tiers, '    unit = { USD = "12", EUR = "11" }\n')
    text = text.replace('    unit = { USD = "0.0008"', '    price = { USD = "0.0008"')

    _, seats, _, searches, _ = read(tmp_path, text).plans["api-team"].versions[0].items

    assert (seats.model, seats.unit["USD"]) == (PriceModel.UNIT, Fraction(1200))
    assert (searches.model, searches.unit["USD"]) == (PriceModel.UNIT, Fraction(8, 100))


@pytest.mark.parametrize(
    ("written", "quantity"),
    [
        ("{ min = 3 }", (3, 1_000_000, 3)),
        ("{ min = 0 }", (0, 1_000_000, 1)),
        ("{ max = 7 }", (1, 7, 1)),
        ("{ default = 9 }", (1, 1_000_000, 9)),
        ("{ min = 0, max = 9, default = 0 }", (0, 9, 0)),
    ],
)
def test_what_a_range_of_quantities_leaves_out(
    tmp_path: Path, written: str, quantity: tuple[int, int, int]
) -> None:
    text = GOOD.replace("{ min = 2, max = 500, default = 5 }", written)

    seats = read(tmp_path, text).plans["api-team"].versions[0].items[1]

    assert seats.quantity == QuantityRange(*quantity)


def test_an_add_on_has_versions_and_plans_it_fits(tmp_path: Path) -> None:
    addon = read(tmp_path, GOOD).addons["sso"]

    assert (addon.name, addon.fits, addon.retired) == ("Single sign-on", ("api-team",), None)
    first, second = addon.versions
    assert first.item == Item("sso", price={"USD": 4900})
    assert (first.effective, first.existing) == (date(2027, 1, 1), "keep")
    assert (second.item.price["USD"], second.existing) == (5900, "move")


def test_a_coupon_takes_off_a_percentage_or_an_amount(tmp_path: Path) -> None:
    coupons = read(tmp_path, GOOD).coupons

    assert coupons == {
        "spring": Coupon(
            "spring",
            percent=Fraction("12.5"),
            on=("base", "seats"),
            duration="invoices",
            number=3,
            until=date(2027, 6, 30),
            limit=1000,
            stack=10,
        ),
        "welcome": Coupon("welcome", amounts={"USD": 2000}, rest="kept"),
    }


@pytest.mark.parametrize(
    ("written", "duration", "number"),
    [
        ("once", "once", 1), ("forever", "forever", 1), ("1 invoice", "invoices", 1),
        ("12 months", "months", 12), ("1 month", "months", 1),
    ],
)  # fmt: skip
def test_how_long_a_coupon_lasts_is_read(
    tmp_path: Path, written: str, duration: str, number: int
) -> None:
    coupon = read(tmp_path, GOOD.replace("3 invoices", written)).coupons["spring"]

    assert (coupon.duration, coupon.number) == (duration, number)


def test_a_file_of_add_ons_or_coupons_alone_needs_no_product(tmp_path: Path) -> None:
    plan, addon = GOOD.split("[[addon]]")
    addon, coupon = addon.split("[[coupon]]", 1)
    write(tmp_path, plan, "api.toml")
    write(tmp_path, "[[addon]]" + addon, "addons.toml")
    write(tmp_path, "[[coupon]]" + coupon, "coupons.toml")

    assert load_catalog(tmp_path) == read(tmp_path / "api.toml", None, GOOD)


ITEM = "plan.version.item."
# what is written instead of what, and the one problem it makes: line, key, words of it
MISTAKES = {
    "unknown key of an item": ("per = ", "pers = ", 17, ITEM + "pers", "mean 'per'"),
    "seats of a version": (
        "effective = 2027-01-01\n\n", "effective = 2027-01-01\n  seats = 5\n", 9,
        "plan.version.seats", "did you mean 'item'?",
    ),
    "an item without a code": ('code = "setup"\n', "\n", 39, ITEM + "code", "is missing"),
    "a bad code": ('"setup"', '"Set up"', 40, ITEM + "code", "small letters"),
    "two items of one code": (
        'code = "setup"', 'code = "seats"', 40, ITEM + "code", "code of the item at",
    ),
    "a price and items": (
        "effective = 2027-01-01\n\n", 'effective = 2027-01-01\n  price = { USD = "1" }\n', 9,
        "plan.version.price", "move it into the item",
    ),
    "items are no list": (
        '[[plan.version.item]]\n    code = "setup"', '[plan.version.setup]\n    code = "setup"', 39,
        "plan.version.setup", "did you mean 'item'?",
    ),
    "a meter that isn't there": (
        'per = "search"', 'meter = "searches"', 35, ITEM + "meter", "'searches' is no meter",
    ),
    "late usage of what is held": (
        'per = "search"', 'per = "search"\n    late_for = "35 days"', 36, ITEM + "late_for",
        "the item counts none",
    ),
    "tax of an item": (
        "once = true", 'once = true\n    tax = "saas"', 42, ITEM + "tax", "write a table",
    ),
    "a float": ('"199.00"', "199.0", 42, ITEM + "price.USD", 'in quotes: USD = "199.0"'),
    "a float of a unit": ('"0.0008"', "0.0008", 36, ITEM + "unit.USD", "is a number"),
    "a float in a tier": ('"12.00"', "12.0", 22, ITEM + "tier.unit.USD", "in quotes"),
    "a tenth of a cent in a flat price": ('"199.00"', '"199.001"', 42, ITEM + "price.USD", "2 dec"),
    "thirteen decimals": ('"0.0008"', f'"0.{"0" * 12}1"', 36, ITEM + "unit.USD", "at most 12"),
    "below zero": ('"0.0008"', '"-1"', 36, ITEM + "unit.USD", "below zero"),
    "a unit above what can be charged": (
        '"0.0008"', '"1000000"', 36, ITEM + "unit.USD", "write at most '999999.99'",
    ),
    "a flat price above what can be charged": (
        '"199.00"', '"1000000"', 42, ITEM + "price.USD", "write at most '999999.99'",
    ),
    "a unit that is no amount": ('"0.0008"', '"1e-4"', 36, ITEM + "unit.USD", "is not an amount"),
    "no such currency": ('USD = "199.00"', 'XYZ = "1"', 42, ITEM + "price.XYZ", "ISO 4217"),
    "a currency that others have": (
        '{ USD = "99.00", EUR = "95.00" }', '{ USD = "99.00" }', 13, ITEM + "price",
        "has no EUR, and another price beside it has",
    ),
    "a currency that other tiers have": (
        'unit = { USD = "12.00", EUR = "11.00" }', 'unit = { USD = "12.00" }', 22,
        ITEM + "tier.unit", "has no EUR",
    ),
    "a currency that a minimum lacks": (
        'USD = "1.00", EUR = "0.90"', 'EUR = "0.90"', 37, ITEM + "minimum", "has no USD",
    ),
    "a third decimal that can't be charged": (
        'USD = "199.00"', 'KWD = "1.234", USD = "199.00"', 42, ITEM + "price.KWD", "'1.230'",
    ),
    "a price twice": (
        "once = true", 'once = true\n    package = { size = 1, price = { USD = "1" } }', 42,
        ITEM + "package", "and so does price",
    ),
    "no price": (
        '    price = { USD = "199.00", EUR = "189.00" }\n', "", 39, ITEM + "price", "is missing",
    ),
    "units without a name": ('    per = "search"\n', "", 35, ITEM + "unit", 'per = "seat"'),
    "units charged once": (
        "once = true", 'once = true\n    per = "desk"', 41, ITEM + "once", "leave one out",
    ),
    "default above the range": ("default = 5", "default = 501", 18, ITEM + "quantity.default",
        "write a number from 2 to 500"),
    "default below the range": ("default = 5", "default = 1", 18, ITEM + "quantity.default", "2"),
    "a range upside down": ("max = 500", "max = 1", 18, ITEM + "quantity.max", "less than min, 2"),
    "a range of texts": ("min = 2", 'min = "2"', 18, ITEM + "quantity.min", "write a number"),
    "an unknown key of a range": (
        "min = 2", "least = 2", 18, ITEM + "quantity.least", "known are: min",
    ),
    "tiers of another sort": ('"graduated"', '"stairs"', 19, ITEM + "tiers", "'graduated' or"),
    "tiers without a sort": ('    tiers = "graduated"\n', "", 15, ITEM + "tiers", "is missing"),
    "tiers that don't rise": ("up_to = 50", "up_to = 5", 22, ITEM + "tier.up_to", "at least 6"),
    "tiers with an end": (
        '{ unit = { USD = "9.5"', '{ up_to = 99, unit = { USD = "9.5"', 23, ITEM + "tier.up_to",
        "no more units would have a price",
    ),
    "an open tier before others": (
        "up_to = 50, ", "", 22, ITEM + "tier.up_to", "only the last tier has no end",
    ),
    "a tier without a price": (
        ", unit = { USD = \"12.00\", EUR = \"11.00\" }", "", 22, ITEM + "tier.unit", "is missing",
    ),
    "an unknown key of a tier": ("up_to = 50", "to = 50", 22, ITEM + "tier.to", "mean 'up_to'"),
    "a package of nothing": ("size = 100", "size = 0", 29, ITEM + "package.size", "from 1 to"),
    "a package without a size": ("size = 100, ", "", 29, ITEM + "package.size", "is missing"),
    "a package without a price": (
        'price = { USD = "5.00", EUR = "4.60" }, ', "", 29, ITEM + "package.price", "is missing",
    ),
    "a package rounded otherwise": (
        'round = "down"', 'round = "half"', 29, ITEM + "package.round", "'up' or 'down'",
    ),
    "part of a unit included": ('"200"', '"0.5"', 30, ITEM + "included", "a whole number"),
    "nothing included": ('"200"', "0", 30, ITEM + "included", "leave it out"),
    "included in words": ('"200"', '"all"', 30, ITEM + "included", "is not a number"),
    "a maximum of nothing": ('"80.00"', '"0"', 31, ITEM + "maximum.USD", "not above zero"),
    "a maximum below the minimum": (
        '{ USD = "1.00", EUR = "0.90" }',
        '{ USD = "1.00", EUR = "0.90" }\n    maximum = { USD = "0.50", EUR = "0.95" }', 38,
        ITEM + "maximum", "is less than minimum in USD",
    ),
    "card number in a name": (
        '"Team"', '"4111 1111 1111 1111"', 12, ITEM + "name", "card number",
    ),
    "control character in a name": (
        '"Team"', '"Te\\u001bam"', 12, ITEM + "name", "a control character",
    ),
    # add-ons
    "unknown key of an add-on": ("fits =", "plans =", 47, "addon.plans", "did you mean 'fits'?"),
    "an add-on that fits nothing": ('fits = ["api-team"]\n', "", 44, "addon.fits", "is missing"),
    "an add-on that fits no plan": (
        '["api-team"]', '["api-taem"]', 47, "addon.fits", "did you mean 'api-team'?",
    ),
    "an add-on that fits a text": ('["api-team"]', '"api-team"', 47, "addon.fits", "list of texts"),
    "an add-on that fits one plan twice": (
        '["api-team"]', '["api-team", "api-team"]', 47, "addon.fits", "twice",
    ),
    "an add-on with the code of an item": (
        'code = "sso"', 'code = "seats"', 45, "addon.code", "an item of the plan 'api-team'",
    ),
    "an add-on called base": ('code = "sso"', 'code = "base"', 45, "addon.code", "single price"),
    "an add-on without versions": (
        GOOD[GOOD.index("  [[addon.version]]"):GOOD.index("[[coupon]]")], "", 44, "addon.version",
        "add a [[addon.version]] section",
    ),
    "an add-on with a code in its version": (
        'effective = 2027-06-01', 'effective = 2027-06-01\n  code = "x"', 55, "addon.version.code",
        "no known key",
    ),
    "an add-on that drops a currency": (
        '{ USD = "59.00" }', '{ EUR = "59.00" }', 56, "addon.version.price", "drops USD",
    ),
    "an add-on that moves to another sort": (
        '{ USD = "59.00" }', '{ USD = "59.00" }\n  per = "user"', 55, "addon.version.existing",
        "had no quantity before",
    ),
    # coupons
    "unknown key of a coupon": (
        "stack = 10", "priority = 10", 65, "coupon.priority", "did you mean 'stack'?",
    ),
    "all and more": ('"12.5"', '"100.1"', 60, "coupon.percent", "at most 100"),
    "nothing off": ('"12.5"', '"0"', 60, "coupon.percent", "not above 0"),
    "less than nothing off": ('"12.5"', '"-5"', 60, "coupon.percent", "not above 0"),
    "a float of a percentage": ('"12.5"', "12.5", 60, "coupon.percent", 'percent = "12.5"'),
    "a percentage with its sign": ('"12.5"', '"12.5 %"', 60, "coupon.percent", "is not a number"),
    "percent and amount": (
        'percent = "12.5"', 'percent = "12.5"\namount = { USD = "1" }', 61, "coupon.amount",
        "so does percent",
    ),
    "neither percent nor amount": ('percent = "12.5"\n', "", 58, "coupon.percent", "is missing"),
    "an amount of nothing": ('"20.00"', '"0"', 69, "coupon.amount.USD", "not above zero"),
    "an amount above what can be charged": (
        '"20.00"', '"2000000"', 69, "coupon.amount.USD", "write at most",
    ),
    "on what nothing sells": (
        '["seats", "base"]', '["seat"]', 61, "coupon.on", "did you mean 'seats'?",
    ),
    "for ever and a day": ('"3 invoices"', '"3 weeks"', 62, "coupon.for", "'6 months'"),
    "for how long": ('for = "3 invoices"\n', "", 58, "coupon.for", "is missing"),
    "until a text": ("2027-06-30", '"2027-06-30"', 63, "coupon.until", "without quotes"),
    "no redemption": ("limit = 1000", "limit = 0", 64, "coupon.limit", "from 1 to"),
    "a rest of what comes again": (
        'for = "once"', 'for = "forever"', 71, "coupon.rest", "taken off once",
    ),
    "two coupons of one code": ('"welcome"', '"spring"', 68, "coupon.code", "taken by the coupon"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "key", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named_with_its_place_and_remedy(
    tmp_path: Path, old: str, new: str, line: int, key: str, words: str
) -> None:
    assert old in GOOD

    problems = problems_of(write(tmp_path, GOOD.replace(old, new, 1)))

    told = [(each.line, each.key) for each in problems if words in str(each)]
    assert (line, key) in told, problems
    assert all(problem.remedy for problem in problems)


SECOND = """
  [[plan.version]]
  effective = 2027-06-01
  existing = "move"

    [[plan.version.item]]
    code = "base"
    price = { USD = "1", EUR = "1" }

    [[plan.version.item]]
    code = "seats"
    per = "seat"
    unit = { USD = "1", EUR = "1" }

    [[plan.version.item]]
    code = "exports"
    per = "export"
    unit = { USD = "1", EUR = "1" }

    [[plan.version.item]]
    code = "searches"
    per = "search"
    unit = { USD = "1", EUR = "1" }

[[addon]]
"""


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ('code = "seats"', 'code = "desks"', (46, "plan.version.existing"), "sold any more"),
        (
            '    per = "seat"\n    unit', "    price",
            (46, "plan.version.existing"), "had a quantity",
        ),
        (
            '    price = { USD = "1", EUR = "1" }',
            '    per = "team"\n    price = { USD = "1", EUR = "1" }',
            (46, "plan.version.existing"), "had no quantity",
        ),
        (', EUR = "1"', "", (48, "plan.version.item"), "drops EUR"),
    ],
)  # fmt: skip
def test_who_is_moved_keeps_their_items(
    tmp_path: Path, old: str, new: str, place: tuple[int, str], words: str
) -> None:
    moved = SECOND.replace(old, new)

    (problem,) = problems_of(write(tmp_path, GOOD.replace("\n[[addon]]\n", moved)))

    assert (problem.line, problem.key) == place
    assert words in problem.what
    if problem.key == "plan.version.existing":
        kept = GOOD.replace("\n[[addon]]\n", moved.replace('"move"', '"keep"'))
        assert len(read(tmp_path, kept).plans["api-team"].versions) == 2


def test_an_item_that_is_charged_once_may_go_in_a_version_that_moves(tmp_path: Path) -> None:
    first, second = read(tmp_path, GOOD.replace("\n[[addon]]\n", SECOND)).plans["api-team"].versions

    assert [item.code for item in second.items] == [item.code for item in first.items[:-1]]


def test_a_single_price_that_moves_to_items_has_a_quantity(tmp_path: Path) -> None:
    plan = GOOD[: GOOD.index("    [[plan.version.item]]")] + '  price = { USD = "1" }\n\n'
    text = plan + SECOND.replace(', EUR = "1"', "").replace("[[addon]]", "")

    (problem,) = problems_of(write(tmp_path, text))

    assert "the item 'base', which had a quantity before" in problem.what
    units = text.replace('code = "base"\n', 'code = "base"\n    per = "team"\n')
    assert len(read(tmp_path, units).plans["api-team"].versions) == 2


@pytest.mark.parametrize(
    ("every", "good"),
    [("1 month", True), ("1 year", False), ("30 days", False), ("2 months", False)],
)
def test_an_add_on_fits_plans_with_periods_of_one_length(
    tmp_path: Path, every: str, good: bool
) -> None:
    other = f'''
[[plan]]
code = "api-other"
every = "{every}"
  [[plan.version]]
  effective = 2027-01-01
  price = {{ USD = "1" }}
'''
    text = GOOD.replace('fits = ["api-team"]', 'fits = ["api-team", "api-other"]') + other

    if good:
        assert read(tmp_path, text).addons["sso"].fits == ("api-other", "api-team")
    else:
        (problem,) = problems_of(write(tmp_path, text))
        assert (problem.line, problem.key) == (47, "addon.fits")
    once = text.replace('price = { USD = "49.00" }', 'price = { USD = "49.00" }\n  once = true')
    once = once.replace('price = { USD = "59.00" }', 'price = { USD = "59.00" }\n  once = true')
    assert len(read(tmp_path, once).plans) == 2


def test_names_are_looked_up_only_where_all_files_could_be_read(tmp_path: Path) -> None:
    write(tmp_path, GOOD.split("[[addon]]")[0] + "broken", "api.toml")
    write(tmp_path, "[[addon]]" + GOOD.split("[[addon]]")[1], "rest.toml")

    (problem,) = problems_of(tmp_path)

    assert "not valid TOML" in problem.what


def test_what_names_a_section_with_another_mistake_is_no_mistake(tmp_path: Path) -> None:
    text = GOOD.replace('every = "1 month"', 'every = "1 moth"').replace('"199.00"', "199.0")

    problems = problems_of(write(tmp_path, text))

    assert [problem.key for problem in problems] == ["plan.every", "plan.version.item.price.USD"]


def read(directory: Path, text: str | None, whole: str | None = None) -> Catalog:
    if whole is not None:
        directory = write(directory.parent, whole, "whole.txt")
        return load_catalog(directory)
    assert text is not None
    return load_catalog(write(directory, text))


def write(directory: Path, text: str, name: str = "api.toml") -> Path:
    path = directory / name
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(path: Path) -> tuple[CatalogProblem, ...]:
    with pytest.raises(CatalogError) as refused:
        load_catalog(path)
    return refused.value.problems
