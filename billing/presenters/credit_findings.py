"""The findings about credit, in sentences."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from billing.presenters.text import amount, at
from billing.rules.promises import FindingKind

CREDIT_WORDS: Final[Mapping[FindingKind, Callable[[Mapping[str, Any]], str]]] = {
    FindingKind.CREDIT_OF_INVOICE: lambda row: (
        f"invoice {row['number']} is {row['status']} and has"
        f" {amount(row['credit'], row['currency'])} of credit; what was applied to it is"
        f" {amount(row['moved'], row['currency'])}"
    ),
    FindingKind.GRANT_MOVES: lambda row: (
        f"credit grant {row['id']} over {amount(row['amount'], row['currency'])}: its"
        f" {row['moves']} move(s) have a gap, or don't begin with it"
    ),
    FindingKind.CREDIT_BALANCE: lambda row: (
        f"customer {row['customer_id']} has {amount(row['left'], row['currency'])} of credit left,"
        f" and the journal says {amount(row['booked'], row['currency'])}"
    ),
    FindingKind.CREDIT_ENTRY: lambda row: (
        f"entry {row['source_key']}: the move is {amount(row['amount'], row['currency'])}, the"
        f" journal has {amount(row['booked'], row['currency'])}"
    ),
    FindingKind.CREDIT_EXPIRED_TO: lambda row: (
        f"entry {row['source_key']}: credit of source {row['source']} expired to {row['account']}"
    ),
    FindingKind.CREDIT_OUT_OF_PLACE: lambda row: (
        f"invoice {row['number']}: {amount(row['amount'], row['currency'])} of grant"
        f" {row['grant_id']} paid it on {at(row['at'])}, which doesn't pay this customer's or"
        " subscription's invoices at that instant"
    ),
    FindingKind.CREDIT_EXPIRY_DUE: lambda row: (
        f"credit grant {row['id']}: what is left of it, {amount(row['left'], row['currency'])}, is"
        f" to be written off {_when(row['due_at'])}, and that is noted"
        f" {_when(row['expiry_due_at'])}"
    ),
    FindingKind.CREDIT_NOT_EXPIRED: lambda row: (
        f"credit grant {row['id']}: {amount(row['left'], row['currency'])} were to be written off"
        f" {_when(row['expiry_due_at'])} and aren't"
    ),
    FindingKind.TOP_UP_GRANTED: lambda row: (
        f"top-up {row['number']} of {amount(row['total'] or 0, row['currency'])} is"
        f" {row['status'] or 'not there'}, and {amount(row['granted'], row['currency'])} were"
        " granted, or otherwise than was ordered"
    ),
    FindingKind.TOP_UP_WENT_BACK: lambda row: (
        f"top-up {row['number']}: {row['kind']} {row['id']} gives back"
        f" {amount(row['amount'], row['currency'])} and takes"
        f" {amount(row['taken'], row['currency'])} of its credit"
    ),
}


def _when(instant: datetime | None) -> str:
    return "never" if instant is None else f"on {at(instant)}"
