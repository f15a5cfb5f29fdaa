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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from json import dumps
from pathlib import Path
from typing import IO, Final

from billing.errors import ErrorCode
from billing.gateway.objects import Unreadable
from billing.gateway.reports import MalformedReport, ReportedMovement
from billing.gateway.stripe.categories import movement_kind
from billing.gateway.stripe.fields import LARGEST_AMOUNT
from billing.gateway.stripe.report_formats import check_separator, why_no_amount
from billing.pan import contains_card_number, without_card_numbers
from billing.rules.reconciliation import MovementKind
from plans.currencies import AmountError, CurrencyError, digits, parse_amount

_FIELD_BYTES_MAX: Final = 1 << 16

# Each column under its names, the UTC one first where there are two.
_NEEDED: Final[Mapping[str, Sequence[str]]] = {
    "id": ("balance_transaction_id",),
    "created": ("created_utc", "created"),
    "currency": ("currency",),
    "gross": ("gross",),
    "fee": ("fee",),
    "net": ("net",),
    "category": ("reporting_category",),
}
_OPTIONAL: Final[Mapping[str, Sequence[str]]] = {
    "available_on": ("available_on_utc", "available_on"),
    "source": ("source_id",),
    "payment_intent": ("payment_intent_id",),
    "charge": ("charge_id",),
    "shown": ("customer_facing_amount",),
    "shown_in": ("customer_facing_currency",),
    "payout": ("automatic_payout_id",),
    "own_payment": ("payment_metadata[payment]",),
    "own_refund": ("refund_metadata[refund]",),
    "engine": ("payment_metadata[engine]",),
    "engine_of_refund": ("refund_metadata[engine]",),
}
# The reports that have what is needed by default.
_ITEMIZED: Final = (
    "payout_reconciliation, ending_balance_reconciliation or balance_change_from_activity"
)
# Reports have none of these by default: they have to be asked for.
_TELLS_WHOSE: Final = ("payment_intent", "charge", "source")
_CUSTOMERS_MONEY: Final = ("shown", "shown_in")
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
_INSTANT: Final = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[ T](\d{2}:\d{2}(?::\d{2})?))?Z?", re.ASCII)
_AMOUNT_LENGTH: Final = 12  # a longer one has enough digits for a card number
_YEARS: Final = range(2000, 2200)
_CODE: Final = re.compile(r"[A-Z]{3,5}", re.ASCII)
_CARD: Final = ("it looks like a card number", ErrorCode.REPORT_CARD_NUMBER)


@dataclass(frozen=True, slots=True)
class Columns:
    """Where each column stands in this file; -1 for one that isn't there."""

    at: Mapping[str, int]
    named: Mapping[str, str]
    width: int

    def name(self, key: str) -> str:
        """Return what the file calls a column."""
        return self.named[key]


def check(path: Path) -> None:
    """See that a file is a report with the columns that are needed. Raises `MalformedReport`."""
    with _opened(path) as file:
        _columns(path, _header(path, _reader(file)))


def lacks_customers_money(path: Path) -> Sequence[str]:
    """Return which of the customer-facing columns a file lacks. Raises `MalformedReport`."""
    with _opened(path) as file:
        columns = _columns(path, _header(path, _reader(file)))
    return [columns.name(key) for key in _CUSTOMERS_MONEY if columns.at[key] < 0]


def movements(path: Path) -> Iterator[ReportedMovement | Unreadable]:
    """Yield the rows of a report. Raises `MalformedReport`."""
    with _opened(path) as file:
        reader = _reader(file)
        columns = _columns(path, _header(path, reader))
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


# --- the header ---------------------------------------------------------------------------------


def _reader(file: IO[str]) -> Iterator[list[str]]:
    """Read strictly: a file that was cut off within a quoted field is no whole one."""
    return csv.reader(file, strict=True)


def _header(path: Path, reader: Iterator[list[str]]) -> list[str]:
    try:
        return next(reader, [])
    except csv.Error as error:
        raise _no_csv(path, 1, error) from error


def _no_csv(path: Path, line: int, error: csv.Error) -> MalformedReport:
    return MalformedReport(
        f"not CSV: {error}", where=f"{path}:{line}", code=ErrorCode.REPORT_DAMAGED
    )


def _columns(path: Path, header: Sequence[str]) -> Columns:
    check_separator(path, header)
    names = [name.strip() for name in header]
    at, named = {}, {}
    for key, known in {**_NEEDED, **_OPTIONAL}.items():
        found = [name for name in known if name in names]
        at[key] = names.index(found[0]) if found else -1
        named[key] = found[0] if found else known[0]
    missing = [named[key] for key in _NEEDED if at[key] < 0]
    if missing:
        raise MalformedReport(
            f"the report lacks the column(s) {', '.join(missing)}",
            where=f"{path}:1",
            code=ErrorCode.REPORT_COLUMNS_MISSING,
            columns=tuple(missing),
            reports=_ITEMIZED,
        )
    twice = sorted({name for name in named.values() if names.count(name) > 1})
    if twice:
        raise MalformedReport(
            f"the report has the column(s) {', '.join(twice)} more than once",
            where=f"{path}:1",
            code=ErrorCode.REPORT_COLUMNS_TWICE,
            columns=tuple(twice),
        )
    if all(at[key] < 0 for key in _TELLS_WHOSE):
        raise MalformedReport(
            "the report doesn't say which payment a row is about",
            where=f"{path}:1",
            code=ErrorCode.REPORT_COLUMN_NEEDED,
            columns=" and ".join(_OPTIONAL[key][0] for key in _TELLS_WHOSE),
        )
    return Columns(at, named, len(names))


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
) -> Iterator[ReportedMovement | Unreadable]:
    """Yield each row. Raises `MalformedReport` with its line and column."""
    started = 1
    while True:
        started = reader.line_num + 1  # type: ignore[attr-defined]  # of csv.reader's object
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise _no_csv(path, started, error) from error
        if row is None:
            return
        if not row:
            continue
        try:
            yield _movement(row, columns)
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
    shown, shown_in = get.shown(gross, currency)
    category = get.word("category")
    kind, source = movement_kind(category), get.optional_id("source")
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
            minor = _minor_units(value, currency)
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
        parsed = _instant(value)
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


# Zeros beyond a currency's digits are no amount: Stripe counts "120.00" ISK where ISO counts 120.
@lru_cache(maxsize=65_536)
def _minor_units(value: str, currency: str) -> int:
    places = digits(currency)
    whole, dot, fraction = value.partition(".")
    if dot and len(fraction) > places and not fraction[places:].strip("0"):
        value = f"{whole}.{fraction[:places]}" if places else whole
    return parse_amount(value, currency)


@lru_cache(maxsize=65_536)
def _instant(value: str) -> str | None:
    match = _INSTANT.fullmatch(value)
    if match is None:
        return None
    try:
        parsed = datetime.fromisoformat(f"{match[1]}T{match[2] or '00:00'}").replace(tzinfo=UTC)
    except ValueError:
        return None
    return parsed.isoformat() if parsed.year in _YEARS else None
