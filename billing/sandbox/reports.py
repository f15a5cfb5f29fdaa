"""Report files: balance transactions as CSV, with Stripe's columns, in major units.

Nothing here knows the server: lines go in, text goes out, one at a time, so a file of a million
rows needs no more memory than one of ten. `made_up_lines` makes such lines from nothing.
"""

import csv
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Protocol

from billing.sandbox.currencies import major_units

PAYOUT, PAYOUT_BY_ID, ENDING = (
    "payout_reconciliation.itemized.5",
    "payout_reconciliation.by_id.itemized.4",
    "ending_balance_reconciliation.itemized.4",
)
_BASIC = (
    *("balance_transaction_id", "created", "available_on", "currency", "gross", "fee", "net"),
    *("reporting_category", "description"),
)
DEFAULT_COLUMNS: dict[str, tuple[str, ...]] = {
    PAYOUT: ("automatic_payout_id", "automatic_payout_effective_at", *_BASIC),
    PAYOUT_BY_ID: _BASIC,
    ENDING: _BASIC,
}
_METADATA = re.compile(r"(payment|refund|transfer)_metadata\[([^\]]{1,40})\]")


@dataclass(frozen=True, slots=True)
class ReportLine:
    """One balance transaction as a report shows it. Amounts are minor units, times UTC seconds."""

    id: str
    created: int
    available_on: int
    currency: str
    gross: int
    fee: int
    category: str
    source: str
    description: str | None = None
    payout: str | None = None
    payout_effective_at: int | None = None
    charge: str | None = None
    charge_created: int | None = None
    payment_intent: str | None = None
    facing_amount: int | None = None
    facing_currency: str | None = None
    customer: str | None = None
    customer_email: str | None = None
    customer_name: str | None = None
    customer_description: str | None = None
    card: Mapping[str, str] = field(default_factory=dict)
    method_type: str | None = None
    dispute_reason: str | None = None
    payment_metadata: Mapping[str, str] = field(default_factory=dict)
    refund_metadata: Mapping[str, str] = field(default_factory=dict)


class Writable(Protocol):
    """Something to write text to."""

    def write(self, text: str, /) -> object:
        """Write a piece of text."""
        ...


Reader = Callable[[ReportLine], str | None]


def _amount(number: int | None, code: str | None) -> str:
    return "" if number is None or code is None else major_units(number, code)


def _instant(seconds: int | None, zone: tzinfo) -> str:
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds, zone).isoformat(" ", "seconds")[:19]


_READERS: dict[str, Reader] = {
    "automatic_payout_id": lambda line: line.payout,
    "balance_transaction_id": lambda line: line.id,
    "currency": lambda line: line.currency,
    "gross": lambda line: _amount(line.gross, line.currency),
    "fee": lambda line: _amount(line.fee, line.currency),
    "net": lambda line: _amount(line.gross - line.fee, line.currency),
    "reporting_category": lambda line: line.category,
    "source_id": lambda line: line.source,
    "description": lambda line: line.description,
    "customer_facing_amount": lambda line: _amount(line.facing_amount, line.facing_currency),
    "customer_facing_currency": lambda line: line.facing_currency,
    "customer_id": lambda line: line.customer,
    "customer_email": lambda line: line.customer_email,
    "customer_name": lambda line: line.customer_name,
    "customer_description": lambda line: line.customer_description,
    "charge_id": lambda line: line.charge,
    "payment_intent_id": lambda line: line.payment_intent,
    "payment_method_type": lambda line: line.method_type,
    "is_link": lambda line: "false" if line.charge else None,
    "card_brand": lambda line: line.card.get("brand"),
    "card_funding": lambda line: line.card.get("funding"),
    "card_country": lambda line: line.card.get("country"),
    "dispute_reason": lambda line: line.dispute_reason,
}
_INSTANTS: dict[str, Callable[[ReportLine], int | None]] = {
    "automatic_payout_effective_at": lambda line: line.payout_effective_at,
    "created": lambda line: line.created,
    "available_on": lambda line: line.available_on,
    "charge_created": lambda line: line.charge_created,
}
# Stripe has these too; there is nothing to put into them here.
_EMPTY = frozenset(
    (
        *("regulatory_tag", "invoice_id", "invoice_number", "subscription_id", "order_id"),
        *("statement_descriptor", "trace_id", "trace_id_status", "destination_payment_id"),
        *("connected_account_id", "connected_account_name", "connected_account_country"),
        "connected_account_direct_charge_id",
        *(
            f"{whose}address_{part}"
            for whose in ("customer_", "customer_shipping_", "shipping_", "card_")
            for part in ("line1", "line2", "city", "state", "postal_code", "country")
        ),
    )
)


def _reader(column: str, zone: tzinfo) -> Reader | None:
    if column in _READERS:
        return _READERS[column]
    instant = _INSTANTS.get(column.removesuffix("_utc"))
    if instant is not None:
        where = UTC if column.endswith("_utc") else zone
        return lambda line: _instant(instant(line), where)
    wanted = _METADATA.fullmatch(column)
    if wanted is not None:
        return _metadata_reader(wanted[1], wanted[2])
    return (lambda _: None) if column in _EMPTY else None


def _metadata_reader(whose: str, key: str) -> Reader:
    if whose == "payment":
        return lambda line: line.payment_metadata.get(key)
    return lambda line: line.refund_metadata.get(key) if whose == "refund" else None


def check_columns(columns: Iterable[str]) -> None:
    """Refuse a column that these reports don't have. Raises: ValueError."""
    for column in columns:
        if _reader(column, UTC) is None:
            raise ValueError(f"no such column: {column}")


def write_report(
    out: Writable, lines: Iterable[ReportLine], columns: Sequence[str], zone: tzinfo = UTC
) -> int:
    """Write a header and a row for each line; return how many rows. Raises: ValueError."""
    check_columns(columns)
    readers = [reader for column in columns if (reader := _reader(column, zone))]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    count = 0
    for line in lines:
        writer.writerow([reader(line) for reader in readers])
        count += 1
    return count


def made_up_lines(
    count: int, *, start: int, currency: str = "usd", a_payout: int = 10_000, seed: int = 0
) -> Iterator[ReportLine]:
    """Make lines from nothing, the same for the same arguments.

    Nine in ten are charges, one is a refund of one of the last charges; a line every second, a
    payout every `a_payout` lines. Ids are numbered, so that other records can be made to match.
    """
    chance = random.Random(seed)  # noqa: S311  repeatable, not secret
    for number in range(count):
        amount = chance.randrange(100, 20_000)
        refund = number % 10 == 9
        charged = number - chance.randrange(1, 10) if refund else number
        created = start + number
        effective = start + (number // a_payout + 1) * a_payout + 2 * 86_400
        yield ReportLine(
            id=f"txn_{number:012d}x",
            created=created,
            available_on=created + 2 * 86_400,
            currency=currency,
            gross=-amount if refund else amount,
            fee=0 if refund else (amount * 290 + 5_000) // 10_000 + 30,
            category="refund" if refund else "charge",
            source=f"re_{number:012d}x" if refund else f"ch_{number:012d}x",
            payout=f"po_{number // a_payout:012d}x",
            payout_effective_at=effective,
            charge=f"ch_{charged:012d}x",
            charge_created=start + charged,
            payment_intent=f"pi_{charged:012d}x",
            facing_amount=-amount if refund else amount,
            facing_currency=currency,
            card={"brand": "visa", "funding": "credit", "country": "US"},
            method_type="card",
            payment_metadata={"payment": f"payment-{charged}"},
        )
