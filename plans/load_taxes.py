"""Taxes of a catalog file: the class that something is of, and dated rates."""

import re
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Final

from billing.plans.countries import is_country, is_region
from billing.plans.errors import BadValue
from billing.plans.numbers import parse_number
from billing.plans.table import Table, type_name
from billing.plans.taxes import RateTreatment, TaxRate, TaxTerms
from billing.plans.territories import part_of

_KEYS: Final = ("country", "region", "class", "name", "rate", "from", "until", "treatment")
_CLASS: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_NAME_MAX: Final = 50


def read_tax_terms(table: Table, keys: Sequence[str] = ("class", "included")) -> TaxTerms | None:
    """Read how something is taxed; None where it isn't said."""
    inner = table.table("tax", '{ class = "saas" }') if table.has("tax") else None
    if inner is None:
        return None
    inner.refuse_unknown(keys)
    tax_class = _read_class(inner, required=False)
    included = inner.flag("included") if inner.has("included") and "included" in keys else None
    return TaxTerms(tax_class, included)


def read_tax_rate(table: Table) -> TaxRate | None:
    """Read one dated rate, or return None where something of it can't be read."""
    table.refuse_unknown(_KEYS)
    country = _read_country(table)
    region = _read_region(table, country)
    tax_class = _read_class(table, required=True)
    name = _read_name(table)
    rate = _read_rate(table)
    since = table.day("from")
    until = table.day("until") if table.has("until") else None
    treatment = _read_treatment(table, rate)
    if since is not None and until is not None and until <= since:
        what = f"{until} isn't later than from, {since}"
        table.problem("until", what, "write the first day on which it doesn't hold any more")
        return None
    if country is None or tax_class is None or name is None or rate is None or since is None:
        return None
    if table.has("region") and region is None:
        return None
    return TaxRate(country, tax_class, name, rate, since, region, until, treatment)


def check_dates(read: Sequence[tuple[TaxRate, Table]]) -> None:
    """Note rates of one tax that hold on the same days."""
    ordered = sorted(read, key=lambda pair: (pair[0].of, pair[0].since))
    for (before, first), (rate, table) in pairwise(ordered):
        if before.of != rate.of:
            continue
        if before.since == rate.since:
            what = f"{rate.since} is the first day of the rate at {first.place('from')}, too"
            table.problem("from", what, "leave one of both out, or give each a name of its own")
        elif before.until is not None and before.until > rate.since:
            what = f"{before.until} is later than {rate.since}, when {table.place('from')} begins"
            first.problem("until", what, f"leave it out, or write {rate.since} at most")


def _read_country(table: Table) -> str | None:
    country = table.text("country")
    part = None if country is None else part_of(country)
    if part is not None:
        what = f"{part.name} is taxed as a part of {part.country}"
        table.problem("country", what, f"leave it out: the rates of {part.country} hold there")
        return None
    if country is None or is_country(country):
        return country
    table.problem("country", f"{country!r} is no country", 'write its code in ISO 3166, like "DE"')
    return None


def _read_region(table: Table, country: str | None) -> str | None:
    region = table.text("region", required=False)
    if region is None or country is None or is_region(country, region):
        return region
    what = f"{region!r} is no region of {country}"
    table.problem("region", what, 'write what follows the dash in its ISO code, "NY" of US-NY')
    return None


def _read_class(table: Table, *, required: bool) -> str | None:
    tax_class = table.text("class", required=required)
    if tax_class is None or (_CLASS.fullmatch(tax_class) and len(tax_class) <= 64):
        return tax_class
    remedy = "write at most 64 small letters, digits and single dashes, like 'saas'"
    table.problem("class", f"{tax_class!r} is no class of taxes", remedy)
    return None


def _read_name(table: Table) -> str | None:
    name = table.text("name")
    if name is None or len(name) <= _NAME_MAX:
        return name
    table.problem("name", f"has {len(name)} characters", f"write at most {_NAME_MAX}")
    return None


def _read_rate(table: Table) -> Fraction | None:
    value = table.data.get("rate")
    if type(value) in (int, float):
        what = f"{value} is {type_name(value)}, and a rate is read digit by digit"
        table.problem("rate", what, f'write it in quotes: rate = "{value}"')
        return None
    text = table.text("rate")
    if text is None:
        return None
    try:
        rate = parse_number(text)
    except BadValue as error:
        table.problem("rate", error.what, error.remedy)
        return None
    if rate > 100:
        table.problem("rate", f"{text} percent is more than there is", "write 100 at most")
        return None
    return rate


def _read_treatment(table: Table, rate: Fraction | None) -> RateTreatment:
    word = table.choice("treatment", [str(each) for each in RateTreatment])
    usual = RateTreatment.ZERO if rate == 0 else RateTreatment.STANDARD
    treatment = usual if word is None else RateTreatment(word)
    untaxed = treatment in (RateTreatment.ZERO, RateTreatment.EXEMPT)
    if rate is not None and untaxed != (rate == 0):
        what = f"{treatment} doesn't go with a rate of {table.data.get('rate')}"
        table.problem("treatment", what, 'a rate of "0" is "zero" or "exempt", any other neither')
    return treatment
