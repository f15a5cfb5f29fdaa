"""The cases as they stand in the package's JSON files, checked when they are read."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

KINDS: Final[Mapping[str, str]] = {
    "billing_dates": "on which days periods are billed",
    "billing_instants": "at which instants, in UTC",
    "period_containing": "which period an instant belongs to",
    "service_days": "the first and the last day of each period, as they are printed",
    "amounts": "what each period costs, in minor units",
    "minor_units": "an amount of text in minor units",
    "charge_amount": "the amount that a provider is sent",
    "decline": "what follows a declined charge",
    "retry_days": "on which days after a decline the charge is tried again",
    "plan_change": "what a change of plan within a period credits and charges",
}
"""Every kind of case, and what an adapter answers to it; README.md has the fields."""

RETRIES: Final = ("later", "after_customer", "never")
_PUBLISHED, _WORKED_OUT = "published", "worked out"


class CasesFault(ValueError):
    """A file of cases isn't as it has to be."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a rule is published and what is said there.

    `published` figures stand there; others were worked out from the rule that stands there.
    """

    url: str
    says: str
    published: bool


@dataclass(frozen=True, slots=True)
class Variant:
    """One published answer to a case."""

    name: str
    expected: Mapping[str, Any]
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """A question to an engine and every answer to it that is published.

    Where there are several, engines differ, and none of the answers is wrong.
    """

    id: str
    kind: str
    rule: str
    input: Mapping[str, Any]
    variants: tuple[Variant, ...]


def load_cases() -> list[Case]:
    """Return all cases, by kind in the order of `KINDS`. Raises: CasesFault."""
    folder = files("perennial_conformance") / "cases"
    cases = [
        case for kind in KINDS for case in _read(kind, (folder / f"{kind}.json").read_text("utf-8"))
    ]
    ids = [case.id for case in cases]
    doubled = sorted({each for each in ids if ids.count(each) > 1})
    if doubled:
        raise CasesFault(f"two cases have the id {doubled[0]}")
    return cases


def _read(kind: str, text: str) -> Iterator[Case]:
    data = json.loads(text)
    if data.get("kind") != kind:
        raise CasesFault(f"{kind}.json is of kind {data.get('kind')!r}")
    for row in data["cases"]:
        try:
            yield _case(kind, row)
        except (KeyError, TypeError) as error:
            raise CasesFault(f"{kind}.json, case {row.get('id')}: {error!r}") from error


def _case(kind: str, row: Mapping[str, Any]) -> Case:
    variants = tuple(_variant(each) for each in row["variants"])
    names = [variant.name for variant in variants]
    if not variants or len(set(names)) < len(names):
        raise CasesFault(f"case {row['id']} needs variants, each with a name of its own")
    return Case(row["id"], kind, row["rule"], row["input"], variants)


def _variant(row: Mapping[str, Any]) -> Variant:
    sources = tuple(
        Source(each["url"], each["says"], _is_published(each["figures"])) for each in row["sources"]
    )
    if not sources or not row["expected"]:
        raise CasesFault(f"the variant {row['name']!r} needs an answer and a source")
    return Variant(row["name"], row["expected"], sources)


def _is_published(figures: str) -> bool:
    if figures not in (_PUBLISHED, _WORKED_OUT):
        raise CasesFault(f"figures are {_PUBLISHED!r} or {_WORKED_OUT!r}, not {figures!r}")
    return figures == _PUBLISHED
