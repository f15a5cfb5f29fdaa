"""The findings about revenue and what goes back of it, in sentences."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from billing.presenters.text import amount
from billing.rules.promises import FindingKind


def _adds_up(row: Mapping[str, Any]) -> str:
    net = amount(row["net"], row["currency"])
    named = f"invoice {row['number']}, line {row['line']} over {net},"
    if min(row["earned"], row["tax"]) < 0:
        return f"{named} gave back more than was recognised, or than its tax"
    return (
        f"{named} is {row['status']}: {amount(row['recognised'], row['currency'])} recognised,"
        f" {amount(row['given_back'], row['currency'])} given back,"
        f" {amount(row['given_up'], row['currency'])} given up, which leaves"
        f" {amount(row['deferred'], row['currency'])} that"
        + (" never was" if row["deferred"] < 0 else " nobody will recognise")
    )


def _line_parts(row: Mapping[str, Any]) -> str:
    named = f"{row['kind'].replace('_', ' ')} {row['id']}"
    if row["currency"] is None:
        return (
            f"{row['of_lines']} minor units of lines were given back by {named}, which isn't there"
        )
    return (
        f"{named} gives back {amount(row['amount'], row['currency'])}, and of lines"
        f" {amount(row['of_lines'], row['currency'])}, or splits it otherwise"
    )


REVENUE_WORDS: Final[Mapping[FindingKind, Callable[[Mapping[str, Any]], str]]] = {
    FindingKind.RECOGNITION_ENTRY: lambda row: (
        f"of invoice {row['number']} ({row['invoice']}), up to {row['through']},"
        f" {amount(row['amount'], row['currency'])} are"
        f" recognised, the journal has {amount(row['booked'], row['currency'])}"
    ),
    FindingKind.INVOICE_ADDS_UP: _adds_up,
    FindingKind.DEFERRED_ADDS_UP: lambda row: (
        f"all invoices leave {amount(row['deferred'], row['currency'])} to be recognised, the"
        f" journal"
        f" has {amount(row['booked'], row['currency'])} deferred"
    ),
    FindingKind.LINE_PARTS: _line_parts,
    FindingKind.EARNED_EARLY: lambda row: (
        f"invoice {row['number']}, line {row['line']}: by {row['through']}"
        f" {amount(row['earned'], row['currency'])} were recognised, and no more than"
        f" {amount(row['due_by_then'], row['currency'])} were earned"
    ),
}
