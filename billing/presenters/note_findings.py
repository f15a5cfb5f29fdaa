"""The findings about credit notes, in sentences."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from billing.presenters.text import amount
from billing.rules.promises import FindingKind

NOTE_WORDS: Final[Mapping[FindingKind, Callable[[Mapping[str, Any]], str]]] = {
    FindingKind.NOTE_OF_INVOICE: lambda row: (
        f"credit note {row['number']}: invoice {row['invoice']} is {row['status']}, or it is"
        " another customer's, or the number doesn't follow"
    ),
    FindingKind.NOTE_LINES: lambda row: (
        f"credit note {row['number']} has {amount(row['net'], row['currency'])} of net and"
        f" {amount(row['tax'], row['currency'])} of tax, its lines have"
        f" {amount(row['net_of_lines'], row['currency'])} and"
        f" {amount(row['tax_of_lines'], row['currency'])}"
    ),
    FindingKind.NOTES_WITHIN_LINE: lambda row: (
        f"invoice {row['number']}: line {row['line']} came to"
        f" {amount(row['gross'], row['currency'])}, its credit notes give back"
        f" {amount(row['given_back'], row['currency'])} or don't follow each other"
    ),
    FindingKind.NOTE_AGAINST_FACTS: lambda row: (
        f"credit note {row['number']}, {'taxes' if not row['line'] else 'line'}"
        f"{f' {line}: discount, net and tax' if (line := row['line']) else ''} are"
        f" {row['stored']}, and the invoice makes them {row['computed']}"
    ),
    FindingKind.GIVEN_BACK_ABOVE: lambda row: (
        f"invoice {row['number']} came to {amount(row['total'], row['currency'])}: credit notes"
        f" give back {amount(row['noted'], row['currency'])}, refunds"
        f" {amount(row['refunded'], row['currency'])}, and disputes lost"
        f" {amount(row['lost'], row['currency'])}"
    ),
    FindingKind.NOTE_GIVEN: lambda row: (
        f"credit note {row['number']} of {amount(row['total'], row['currency'])} goes to"
        f" {row['destination']}: its refund is {row['refund'] or 'not there'}, and"
        f" {amount(row['granted'] or 0, row['currency'])} were granted"
    ),
    FindingKind.NOTE_ENTRY: lambda row: (
        f"credit note {row['number']} gives {amount(row['total'], row['currency'])} back, the"
        f" journal has {amount(row['booked'], row['currency'])}, or has it otherwise"
    ),
}
