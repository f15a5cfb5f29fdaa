"""Taxes of the catalog: classes of what is sold, dated rates, and every mistake with its place."""

from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest

from billing.plans.countries import is_country, is_region
from billing.plans.load import CatalogError, load_catalog
from billing.plans.taxes import RateTreatment, TaxRate, TaxTerms, rates_on
from billing.plans.terms import PlanVersion

GOOD = """\
product = "Notes"

[[plan]]
code = "notes"
every = "1 month"

  [[plan.version]]
  effective = 2026-01-01
  tax = { class = "saas", included = true }

    [[plan.version.item]]
    code = "base"
    price = { EUR = "100.00" }

    [[plan.version.item]]
    code = "handbook"
    price = { EUR = "10.00" }
    tax = { class = "books" }

[[addon]]
code = "sso"
fits = ["notes"]

  [[addon.version]]
  effective = 2026-01-01
  price = { EUR = "5.00" }
  tax = { class = "saas", included = false }

[[tax_rate]]
country = "DE"
class = "saas"
name = "USt"
rate = "19"
from = 2021-01-01

[[tax_rate]]
country = "DE"
class = "books"
name = "USt"
rate = "7"
from = 2021-01-01
until = 2027-01-01
treatment = "reduced"

[[tax_rate]]
country = "DE"
class = "books"
name = "USt"
rate = "5"
from = 2027-01-01
treatment = "reduced"
"""
SECOND = 'rate = "7"\nfrom = 2021-01-01\nuntil = 2027-01-01\n'


def write(folder: Path, text: str) -> Path:
    (folder / "notes.toml").write_text(text)
    return folder


def test_classes_and_rates_are_read(tmp_path: Path) -> None:
    catalog = load_catalog(write(tmp_path, GOOD))

    (version,) = catalog.plans["notes"].versions
    assert version.tax == TaxTerms("saas", included=True)
    assert [item.tax for item in version.items] == [None, TaxTerms("books")]
    assert catalog.addons["sso"].versions[0].item.tax == TaxTerms("saas", included=False)
    assert catalog.tax_rates[1] == TaxRate(
        "DE", "books", "USt", Fraction(7), date(2021, 1, 1), None, date(2027, 1, 1),
        RateTreatment.REDUCED,
    )  # fmt: skip
    assert catalog.tax_classes == {"saas", "books"}


def test_terms_with_taxes_are_rebuilt_and_those_without_keep_their_digest(tmp_path: Path) -> None:
    (version,) = load_catalog(write(tmp_path, GOOD)).plans["notes"].versions

    again = PlanVersion.from_terms("notes", version.effective, version.to_terms())

    assert again == version
    assert again.digest() == version.digest()
    plain = GOOD.replace('  tax = { class = "saas", included = true }\n', "")
    (without,) = load_catalog(write(tmp_path, plain)).plans["notes"].versions
    assert "tax" not in without.to_terms()
    assert without.digest() != version.digest()


MISTAKES = {
    "tax is no table": ('tax = { class = "books" }', 'tax = "books"', "write a table"),
    "an unknown key": ('tax = { class = "books" }', 'tax = { rate = "7" }', "is no known key"),
    "an item that contains tax": (
        'tax = { class = "books" }', "tax = { included = true }", "is no known key",
    ),
    "no class": ('tax = { class = "books" }', 'tax = { class = "Books!" }', "is no class of taxes"),
    "a class without a rate": (
        'tax = { class = "books" }', 'tax = { class = "tea" }', "'tea' has no rate for DE",
    ),
    "a number": ('rate = "19"', "rate = 19", 'write it in quotes: rate = "19"'),
    "a float": ('rate = "19"', "rate = 19.5", 'write it in quotes: rate = "19.5"'),
    "more than all": ('rate = "19"', 'rate = "101"', "more than there is"),
    "below zero": ('rate = "19"', 'rate = "-1"', "is not a number"),
    "a rate that is zero and reduced": (
        'rate = "7"', 'rate = "0"', "reduced doesn't go with a rate of 0",
    ),
    "a part of another country": (
        'country = "DE"', 'country = "MC"', "Monaco is taxed as a part of FR",
    ),
    "no country": ('country = "DE"', 'country = "XX"', "'XX' is no country"),
    "no region": (
        'country = "DE"', 'country = "US"\nregion = "ZZ"', "'ZZ' is no region of US",
    ),
    "no name": ('name = "USt"\nrate = "19"', 'rate = "19"', "name"),
    "no date": ('rate = "19"\nfrom = 2021-01-01', 'rate = "19"', "from"),
    "dates that overlap": ("until = 2027-01-01", "until = 2027-02-01", "is later than 2027-01-01"),
    "dates that are the same": ("from = 2027-01-01", "from = 2021-01-01", "is the first day of"),
    "an end before the beginning": (SECOND, SECOND.replace("2027", "2020"), "isn't later than"),
    "an unknown key of a rate": ('rate = "19"', 'rate = "19"\npercent = "19"', "is no known key"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in GOOD

    with pytest.raises(CatalogError) as found:
        load_catalog(write(tmp_path, GOOD.replace(old, new, 1)))

    assert any(words in str(problem) for problem in found.value.problems), found.value.problems


def rate(since: str, percent: int, region: str | None = None, **more: str) -> TaxRate:
    until = date.fromisoformat(more["until"]) if "until" in more else None
    name = more.get("name", "GST")
    return TaxRate("CA", "saas", name, Fraction(percent), date.fromisoformat(since), region, until)


RATES = (
    rate("2008-01-01", 5),
    rate("2013-01-01", 10, "QC", name="QST"),
    rate("2006-07-01", 6, until="2008-01-01"),
    rate("2020-01-01", 3, "ON", name="OST", until="2021-01-01"),
)
DAYS = [
    ("2026-01-01", None, [("CA", 5)]),
    ("2026-01-01", "QC", [("CA", 5), ("CA-QC", 10)]),
    ("2012-12-31", "QC", [("CA", 5)]),
    ("2007-12-31", "QC", [("CA", 6)]),
    ("2006-06-30", "QC", []),
    ("2020-12-31", "ON", [("CA", 5), ("CA-ON", 3)]),
    ("2021-01-01", "ON", [("CA", 5)]),
]


@pytest.mark.parametrize(("day", "region", "expected"), DAYS)
def test_the_rates_of_a_day_are_those_of_the_country_and_of_its_region(
    day: str, region: str | None, expected: list[tuple[str, int]]
) -> None:
    found = rates_on(RATES, "CA", region, "saas", date.fromisoformat(day))

    assert [(each.jurisdiction, int(each.rate)) for each in found] == expected
    assert rates_on(RATES, "CA", region, "books", date.fromisoformat(day)) == ()
    assert rates_on(RATES, "US", region, "saas", date.fromisoformat(day)) == ()


def test_countries_and_regions_are_those_of_iso_3166() -> None:
    assert [is_country(code) for code in ("DE", "GR", "XK", "EU", "UK", "de")] == [
        True, True, False, False, False, False,
    ]  # fmt: skip
    assert [is_region(*each) for each in (("US", "NY"), ("US", "QC"), ("CA", "QC"))] == [
        True, False, True,
    ]  # fmt: skip
    assert is_region("CH", "ZH")
    assert not is_region("CH", "Zürich")
