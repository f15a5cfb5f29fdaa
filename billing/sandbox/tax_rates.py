"""The sandbox's own table of taxes: what is levied where, by the code of what is sold.

The rates are made up, but for the standard rates of the European countries. Fractions of a percent
are texts, so that no float gets in.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

NONTAXABLE: Final = "txcd_00000000"
BOOKS: Final = "txcd_10302000"
SERVICES: Final = "txcd_20030000"
USUAL: Final = "txcd_10103001"

EU: Final = frozenset({
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT",
    "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Levied:
    """One tax of a place: who levies it, its name and type, and its rates in percent."""

    level: str
    place: str
    name: str
    kind: str
    standard: str
    books: str
    services: str

    def rate(self, code: str) -> Fraction:
        """Return the rate of what has this code."""
        return Fraction({BOOKS: self.books, SERVICES: self.services}.get(code, self.standard))

    def is_reduced(self, code: str) -> bool:
        """Tell whether the rate of this code is below the standard one."""
        return self.rate(code) < Fraction(self.standard)


def _vat(place: str, standard: str, books: str) -> tuple[Levied, ...]:
    return (Levied("country", place, "VAT", "vat", standard, books, standard),)


def _state(place: str, name: str, rate: str, books: str, services: str) -> Levied:
    return Levied("state", place, name, "sales_tax", rate, books, services)


COUNTRIES: Final = {
    "AT": _vat("Austria", "20", "10"),
    "DE": _vat("Germany", "19", "7"),
    "ES": _vat("Spain", "21", "4"),
    "FR": _vat("France", "20", "5.5"),
    "GB": _vat("United Kingdom", "20", "0"),
    "IE": _vat("Ireland", "23", "9"),
    "IT": _vat("Italy", "22", "4"),
    "NL": _vat("Netherlands", "21", "9"),
    "CA": (Levied("country", "Canada", "GST", "gst", "5", "5", "5"),),
}
REGIONS: Final = {
    ("CA", "QC"): (Levied("state", "Quebec", "QST", "qst", "9.975", "0", "9.975"),),
    ("CA", "BC"): (Levied("state", "British Columbia", "PST", "pst", "7", "0", "7"),),
    ("US", "CA"): (
        _state("California", "Sales Tax", "6", "3", "4.5"),
        Levied("county", "Los Angeles", "Sales Tax", "sales_tax", "0.25", "0.125", "0.2"),
        Levied("city", "Pasadena", "Sales Tax", "sales_tax", "0.75", "0.375", "0.5"),
        Levied("district", "Transit District", "Sales Tax", "sales_tax", "2.25", "1.125", "1.5"),
    ),
    ("US", "NY"): (
        _state("New York", "Sales Tax", "4", "0", "4"),
        Levied("city", "New York City", "Sales Tax", "sales_tax", "4.5", "0", "4.5"),
        Levied("district", "Commuter District", "Sales Tax", "sales_tax", "0.375", "0", "0.375"),
    ),
    ("US", "TX"): (_state("Texas", "Sales Tax", "6.25", "6.25", "5"),),
    ("US", "OR"): (),
}


def taxes_of(country: str, region: str | None) -> tuple[Levied, ...]:
    """Return what is levied at a place; nothing where no taxes are collected."""
    return COUNTRIES.get(country, ()) + REGIONS.get((country, region or ""), ())
