"""Territories that the VAT of their country treats otherwise than the rest of it.

Articles 6 and 7 of Directive 2006/112/EC say which are outside the VAT of the EU, and which count
as a part of another country; articles 104 and 105 which have rates of their own. Where ISO 3166-2
has no code, one of ours stands in its place: BUS, HEL, JM, LIV, CAM.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class TerritoryKind(StrEnum):
    """How a territory is treated."""

    OUTSIDE = "outside"
    """It isn't in the VAT of the EU."""
    OWN_RATES = "own_rates"
    """It has rates of its own, in the VAT of its country."""
    PART_OF = "part_of"
    """It counts as a part of another country."""


@dataclass(frozen=True, slots=True)
class Territory:
    """A territory of a country, known by a region or by how a postal code begins.

    One that counts as a part of another country has that one, and no region.
    """

    name: str
    kind: TerritoryKind
    country: str
    region: str | None = None

    @property
    def code(self) -> str:
        """The country, or its region, as "ES-CN"."""
        return self.country if self.region is None else f"{self.country}-{self.region}"


_OUTSIDE: Final = TerritoryKind.OUTSIDE
_OWN: Final = TerritoryKind.OWN_RATES
_NAMED: Final = (
    # name, kind, country, region, further regions, beginnings of postal codes
    ("Canary Islands", _OUTSIDE, "ES", "CN", "GC TF", "35 38"),
    ("Ceuta", _OUTSIDE, "ES", "CE", "", "51"),
    ("Melilla", _OUTSIDE, "ES", "ML", "", "52"),
    ("Åland", _OUTSIDE, "FI", "01", "", "22"),
    ("Mount Athos", _OUTSIDE, "GR", "69", "", "63086 63087"),
    ("Büsingen", _OUTSIDE, "DE", "BUS", "", "78266"),
    ("Heligoland", _OUTSIDE, "DE", "HEL", "", "27498"),
    ("Livigno", _OUTSIDE, "IT", "LIV", "", "23041"),
    ("Campione d'Italia", _OUTSIDE, "IT", "CAM", "", "22061"),
    ("Guadeloupe", _OUTSIDE, "FR", "971", "GP", "971"),
    ("Martinique", _OUTSIDE, "FR", "972", "MQ", "972"),
    ("French Guiana", _OUTSIDE, "FR", "973", "GF", "973"),
    ("Réunion", _OUTSIDE, "FR", "974", "RE", "974"),
    ("Saint Pierre and Miquelon", _OUTSIDE, "FR", "PM", "", "975"),
    ("Mayotte", _OUTSIDE, "FR", "976", "YT", "976"),
    ("Saint Barthélemy", _OUTSIDE, "FR", "BL", "", "97133"),
    ("Saint Martin", _OUTSIDE, "FR", "MF", "", "97150"),
    ("Wallis and Futuna", _OUTSIDE, "FR", "WF", "", "986"),
    ("French Polynesia", _OUTSIDE, "FR", "PF", "", "987"),
    ("New Caledonia", _OUTSIDE, "FR", "NC", "", "988"),
    ("Azores", _OWN, "PT", "20", "", "95 96 97 98 99"),
    ("Madeira", _OWN, "PT", "30", "", "90 91 92 93 94"),
    ("Jungholz and Mittelberg", _OWN, "AT", "JM", "", "6691 6991 6992 6993"),
)  # fmt: skip
_EVERY: Final = tuple(
    (Territory(name, kind, country, region), further, codes)
    for name, kind, country, region, further, codes in _NAMED
)
_BY_REGION: Final = {
    (each.country, region): each
    for each, further, _ in _EVERY
    for region in (each.region, *further.split())
}
_BY_POSTAL_CODE: Final = {
    (each.country, code): each for each, _, codes in _EVERY for code in codes.split()
}
_PART_OF: Final = {
    "MC": Territory("Monaco", TerritoryKind.PART_OF, "FR"),
    "IM": Territory("Isle of Man", TerritoryKind.PART_OF, "GB"),
}
_BY_NAME: Final = {each.name: each for each in (*_BY_REGION.values(), *_PART_OF.values())}
TERRITORIES: Final = {each.code: each for each in _BY_REGION.values()}
"""Territories that are regions, by their code."""
_LONGEST: Final = 5


def territory_at(
    country: str | None, region: str | None, postal_code: str | None
) -> Territory | None:
    """Return the territory that a place is in, None where it is in none that is known."""
    if country is None:
        return None
    if country in _PART_OF:
        return _PART_OF[country]
    found = _BY_REGION.get((country, region or ""))
    digits = "".join(each for each in postal_code or "" if each.isascii() and each.isdigit())
    for length in range(min(len(digits), _LONGEST), 0, -1):
        found = found or _BY_POSTAL_CODE.get((country, digits[:length]))
    return found


def named(name: str) -> Territory:
    """Return a territory by its name. Raises: ValueError."""
    try:
        return _BY_NAME[name]
    except KeyError:
        raise ValueError(f"{name!r} is no territory that is known") from None


def part_of(country: str) -> Territory | None:
    """Return a country as the part of another one that it counts as, None where it doesn't."""
    return _PART_OF.get(country)


def country_of(country: str) -> str:
    """Return the country whose VAT ids a country gives: Monaco has those of France."""
    return _PART_OF[country].country if country in _PART_OF else country
