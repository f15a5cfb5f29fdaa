"""The columns of Stripe's reports: which are needed, and where a file has them."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Final

from billing.errors import ErrorCode
from billing.gateway.reports import MalformedReport
from billing.gateway.stripe.report_formats import check_separator

# Each column under its names, the UTC one first where there are two.
_NEEDED: Final[Mapping[str, Sequence[str]]] = {
    "id": ("balance_transaction_id",),
    "created": ("created_utc", "created", "effective_at_utc", "effective_at"),
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
    "payout_id": ("payout_id",),
    "payout_status": ("payout_status",),
    "arrival": ("payout_expected_arrival_date",),
    "own_payment": ("payment_metadata[payment]",),
    "own_refund": ("refund_metadata[refund]",),
    "engine": ("payment_metadata[engine]",),
    "engine_of_refund": ("refund_metadata[engine]",),
}
# The reports that have what is needed by default.
_ITEMIZED: Final = (
    "payout_reconciliation, ending_balance_reconciliation, balance_change_from_activity or payouts"
)
# Reports have none of these by default: they have to be asked for.
_TELLS_WHOSE: Final = ("payment_intent", "charge", "source")
_OF_PAYOUTS: Final = ("effective_at_utc", "effective_at")
CUSTOMERS_MONEY: Final = ("shown", "shown_in")


@dataclass(frozen=True, slots=True)
class Columns:
    """Where each column stands in this file; -1 for one that isn't there.

    `zone` is that of columns that aren't in UTC by their name.
    """

    at: Mapping[str, int]
    named: Mapping[str, str]
    width: int
    zone: tzinfo = UTC

    @property
    def of_payouts(self) -> bool:
        """Tell whether the rows are payouts and nothing else."""
        return self.named["created"] in _OF_PAYOUTS and self.at["payout_id"] >= 0

    def zone_of(self, key: str) -> tzinfo:
        """Return the zone in which a column's instants are written."""
        return UTC if self.named[key].endswith("_utc") or key == "arrival" else self.zone

    def name(self, key: str) -> str:
        """Return what the file calls a column."""
        return self.named[key]


def header_of(path: Path, reader: Iterator[list[str]]) -> list[str]:
    """Return the first row of a file. Raises: MalformedReport."""
    try:
        return next(reader, [])
    except csv.Error as error:
        raise no_csv(path, 1, error) from error


def no_csv(path: Path, line: int, error: csv.Error) -> MalformedReport:
    """Return the error of a line that is no CSV."""
    return MalformedReport(
        f"not CSV: {error}", where=f"{path}:{line}", code=ErrorCode.REPORT_DAMAGED
    )


def columns_of(path: Path, header: Sequence[str]) -> Columns:
    """Find the columns that are needed and used. Raises: MalformedReport."""
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
    columns = Columns(at, named, len(names))
    if all(at[key] < 0 for key in _TELLS_WHOSE) and not columns.of_payouts:
        raise MalformedReport(
            "the report doesn't say which payment a row is about",
            where=f"{path}:1",
            code=ErrorCode.REPORT_COLUMN_NEEDED,
            columns=" and ".join(_OPTIONAL[key][0] for key in _TELLS_WHOSE),
        )
    return columns
