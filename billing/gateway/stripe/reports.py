"""Stripe's itemized CSV reports, read exactly and in bounded memory.

`payout_reconciliation.itemized.*`, `ending_balance_reconciliation.itemized.*` and
`balance_change_from_activity.itemized.*` share the columns that matter here
(https://docs.stripe.com/reports/report-types/payout-reconciliation). A column is found by its
name in the header, so any selection and order will do as long as the needed ones are there.

Reports carry amounts in *major* units as decimal text, where the API carries minor units. They
are read digit by digit (`plans.currencies`): a third decimal in USD is an error, not a cent.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from json import dumps
from pathlib import Path
from typing import IO, Final

from billing.errors import ErrorCode
from billing.gateway.objects import ProviderPayout, Unreadable
from billing.gateway.reports import MalformedReport, ReportedMovement
from billing.gateway.stripe.categories import movement_kind
from billing.gateway.stripe.report_columns import (
    CUSTOMERS_MONEY,
    Columns,
    columns_of,
    header_of,
    no_csv,
)
from billing.gateway.stripe.report_formats import (
    minor_units,
    to_utc,
    why_no_amount,
)
from billing.gateway.stripe.statuses import payout_status
from billing.gateway.untrusted import LARGEST_AMOUNT
from billing.pan import contains_card_number, without_card_numbers
from billing.plans.currencies import AmountError, CurrencyError, digits
from billing.rules.money import Money
from billing.rules.reconciliation import PAYOUTS, MovementKind

_FIELD_BYTES_MAX: Final = 1 << 16

_OWN_IDS: Final = (
    ("own_payment", "payment"),
    ("own_refund", "refund"),
    ("engine", "engine"),
    ("engine_of_refund", "engine"),
)
_ID: Final = re.compile(r"[A-Za-z0-9_]{3,100}", re.ASCII)
_PREFIXED: Final = re.compile(r"[a-z]+_[A-Za-z0-9]+", re.ASCII)  # as the provider's ids are
_WORD: Final = re.compile(r"[a-z_]{2,50}", re.ASCII)
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_AMOUNT_LENGTH: Final = 12  # a longer one has enough digits for a card number
_CODE: Final = re.compile(r"[A-Z]{3,5}", re.ASCII)
_CARD: Final = ("it looks like a card number", ErrorCode.REPORT_CARD_NUMBER)


def check(path: Path) -> None:
    """See that a file is a report with the columns that are needed. Raises `MalformedReport`."""
    with _opened(path) as file:
        columns_of(path, header_of(path, _reader(file)))


def lacks_customers_money(path: Path) -> Sequence[str]:
    """Return which of the customer-facing columns a file lacks. Raises `MalformedReport`."""
    with _opened(path) as file:
        columns = columns_of(path, header_of(path, _reader(file)))
    return [columns.name(key) for key in CUSTOMERS_MONEY if columns.at[key] < 0]


def movements(
    path: Path, zone: tzinfo = UTC
) -> Iterator[ReportedMovement | ProviderPayout | Unreadable]:
    """Yield the rows of a report, and the payouts that they show. Raises `MalformedReport`."""
    with _opened(path) as file:
        reader = _reader(file)
        columns = replace(columns_of(path, header_of(path, reader)), zone=zone)
        yield from _lines(path, reader, columns)


@contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    csv.field_size_limit(_FIELD_BYTES_MAX)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file
    except UnicodeDecodeError as error:
        raise MalformedReport(
            f"the report is not UTF-8 text: {error.reason}",
            where=str(path),
            code=ErrorCode.REPORT_DAMAGED,
        ) from error
    except OSError as error:
        raise MalformedReport(
            f"the report can't be read: {error.strerror}",
            where=str(path),
            code=ErrorCode.REPORT_UNREADABLE,
        ) from error


def _reader(file: IO[str]) -> Iterator[list[str]]:
    """Read strictly: a file that was cut off within a quoted field is no whole one."""
    return csv.reader(file, strict=True)


# --- the rows -----------------------------------------------------------------------------------


class _NotInBooks(Exception):
    """A row is in a currency that can't stand in books: a break, and the other rows go on."""


class _Refused(Exception):
    """A field can't be taken; the caller adds the line."""

    def __init__(
        self, column: str, what: str, code: ErrorCode = ErrorCode.REPORT_MALFORMED
    ) -> None:
        super().__init__(what)
        self.column = column
        self.code = code


def _lines(
    path: Path, reader: "Iterator[list[str]]", columns: Columns
) -> Iterator[ReportedMovement | ProviderPayout | Unreadable]:
    """Yield each row. Raises `MalformedReport` with its line and column."""
    started = 1
    while True:
        started = reader.line_num + 1  # type: ignore[attr-defined]  # of csv.reader's object
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise no_csv(path, started, error) from error
        if row is None:
            return
        if not row:
            continue
        try:
            movement = _movement(row, columns)
            yield movement
            if isinstance(movement, ReportedMovement) and movement.kind in PAYOUTS:
                yield from _payout(movement, _Fields(row, columns))
        except _Refused as refused:
            raise MalformedReport(
                str(refused),
                where=f"{path}:{started}, column {refused.column}",
                code=refused.code,
            ) from None


def _movement(row: Sequence[str], columns: Columns) -> ReportedMovement | Unreadable:
    """Read a row; one in a currency that can't stand in books can't be read."""
    try:
        return _readable(row, columns)
    except _NotInBooks as error:
        get = _Fields(row, columns)
        shown = without_card_numbers(f"{get.text('gross')} {get.text('currency')}")[:60]
        return Unreadable(get.id("id"), "balance_transaction", str(error), shown)


def _readable(row: Sequence[str], columns: Columns) -> ReportedMovement:
    if len(row) != columns.width:
        raise _Refused(
            columns.name("id"), f"the row has {len(row)} fields, the header {columns.width}"
        )
    get = _Fields(row, columns)
    currency = get.currency("currency")
    gross, fee, net = (get.amount(key, currency) for key in ("gross", "fee", "net"))
    if net != gross - fee:
        raise _Refused(columns.name("net"), "net is not gross minus fee")
    category = get.word("category")
    kind, source = movement_kind(category), get.optional_id("source")
    if kind in PAYOUTS:
        source = source or get.optional_id("payout_id")
    if columns.of_payouts:
        gross, net = _signed(kind, gross, fee, columns)
    shown, shown_in = get.shown(gross, currency)
    # What a charge's row is about is the charge itself.
    charge = get.optional_id("charge") or (source if kind is MovementKind.CHARGE else None)
    return ReportedMovement(
        get.id("id"),
        kind,
        category,
        source,
        get.optional_id("payment_intent"),
        charge,
        str(gross),
        str(fee),
        str(net),
        currency,
        shown,
        shown_in,
        None,
        get.optional_id("payout"),
        get.instant("created"),
        get.optional_instant("available_on"),
        get.metadata(),
    )


def _signed(kind: MovementKind, gross: int, fee: int, columns: Columns) -> tuple[int, int]:
    """Return gross and net of a row of a report of payouts as they change the balance.

    Some of these reports show a payout as what arrives at the bank, and some as what leaves the
    balance.
    """
    leaves = kind is MovementKind.PAYOUT and gross > 0
    if leaves and fee:
        raise _Refused(columns.name("fee"), "whether it is taken from the payout isn't said")
    if leaves or (kind is MovementKind.PAYOUT_FAILURE and gross < 0):
        gross = -gross
    return gross, gross - fee


def _payout(row: ReportedMovement, get: "_Fields") -> Iterator[ProviderPayout]:
    """Yield the payout of a row that says how far it came; a reversal is about an earlier one."""
    status = get.text("payout_status")
    if not status or row.source_id is None:
        return
    sign = -1 if row.kind is MovementKind.PAYOUT else 1
    arrival = get.optional_instant("arrival")
    yield ProviderPayout(
        id=row.source_id,
        amount=Money(sign * int(row.amount), row.currency),
        status=payout_status(status),
        created=datetime.fromisoformat(row.created),
        arrival=None if arrival is None else datetime.fromisoformat(arrival),
    )


@dataclass(slots=True)
class _Fields:
    """One row's fields by our names, each read exactly or refused."""

    row: Sequence[str]
    columns: Columns

    def text(self, key: str) -> str:
        at = self.columns.at[key]
        return self.row[at].strip() if at >= 0 else ""

    def _refuse(
        self, key: str, what: str, code: ErrorCode = ErrorCode.REPORT_MALFORMED
    ) -> _Refused:
        if contains_card_number(self.text(key)):
            what, code = _CARD
        return _Refused(self.columns.name(key), what, code)

    def id(self, key: str) -> str:
        value = self.text(key)
        if not _ID.fullmatch(value):
            raise self._refuse(key, f"{value[:40]!r} is no id")
        if not _PREFIXED.fullmatch(value) and contains_card_number(value):
            raise self._refuse(key, "")
        return value

    def optional_id(self, key: str) -> str | None:
        return self.id(key) if self.text(key) else None

    def word(self, key: str) -> str:
        value = self.text(key)
        if not _WORD.fullmatch(value):
            raise self._refuse(key, f"{value[:40]!r} is no reporting category")
        return value

    def currency(self, key: str) -> str:
        value = self.text(key).upper()
        try:
            digits(value)
        except CurrencyError as error:
            if _CODE.fullmatch(value):
                raise _NotInBooks(str(error)) from None
            raise self._refuse(key, str(error)) from None
        return value

    def amount(self, key: str, currency: str) -> int:
        value = self.text(key)
        try:
            if len(value) > _AMOUNT_LENGTH and contains_card_number(value):
                raise self._refuse(key, "")
            minor = minor_units(value, currency)
            if abs(minor) > LARGEST_AMOUNT:
                raise self._refuse(key, f"{value[:40]!r} is more than a movement can be")
            return minor
        except AmountError as error:
            what, code = why_no_amount(value, currency)
            raise self._refuse(key, what or str(error), code) from None

    def shown(self, gross: int, currency: str) -> tuple[str | None, str | None]:
        """Return what the customer saw, with the sign of what it did to the balance."""
        if not self.text("shown") or not self.text("shown_in"):
            return None, None
        shown_in = self.currency("shown_in")
        amount = abs(self.amount("shown", shown_in))
        return str(-amount if gross < 0 else amount), shown_in

    def instant(self, key: str) -> str:
        value = self.text(key)
        parsed = to_utc(value, self.columns.zone_of(key))
        if parsed is None:
            raise self._refuse(key, f"{value[:40]!r} is no instant", ErrorCode.REPORT_INSTANT)
        return parsed

    def optional_instant(self, key: str) -> str | None:
        return self.instant(key) if self.text(key) else None

    def metadata(self) -> str:
        """Return our own ids, where the report was asked for with them."""
        found = {}
        for key, name in _OWN_IDS:
            value = self.text(key)
            if _UUID.fullmatch(value):
                found[name] = value
        return dumps(found) if found else "{}"
