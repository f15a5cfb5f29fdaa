"""Calls about taxes, as they are stored: their kinds, states, and what a reversal asks for."""

import json
from dataclasses import dataclass
from enum import StrEnum


class TaxCallKind(StrEnum):
    """What a provider is asked for, or told."""

    CALCULATION = "calculation"
    RECORD = "record"
    REVERSAL = "reversal"


class TaxCallState(StrEnum):
    """How far a call is."""

    OPEN = "open"
    ANSWERED = "answered"
    REFUSED = "refused"
    """A definite no: a person has to look."""
    LAPSED = "lapsed"
    """It had no answer for so long that it is asked for anew."""


@dataclass(frozen=True, slots=True)
class LineBack:
    """What is given back of a line: its number as `reference`, in minor units.

    `amount` is as the provider was asked about it: with the tax that it contains, without the one
    on top.
    """

    reference: str
    amount: int
    tax: int


def reversal_document(currency: str, lines: tuple[LineBack, ...]) -> str:
    """Return what a reversal asks for; without lines it is of all."""
    data = {
        "currency": currency,
        "lines": [[each.reference, each.amount, each.tax] for each in lines],
    }
    return json.dumps(data, sort_keys=True, separators=(",", ":"))


def read_reversal(document: str) -> tuple[str, tuple[LineBack, ...]]:
    """Read the currency and the lines of a reversal. Raises: ValueError, KeyError."""
    data = json.loads(document)
    return data["currency"], tuple(LineBack(*each) for each in data["lines"])
