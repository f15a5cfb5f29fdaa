"""Settlement report files, in neutral columns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from pathlib import Path
from typing import NamedTuple, Protocol

from billing.errors import BadInput, ErrorCode
from billing.gateway.objects import ProviderPayout, Unreadable
from billing.rules.reconciliation import MovementKind


class MalformedReport(BadInput):
    """The report can't be read; `where` names file, line and column. Nothing was imported."""

    code = ErrorCode.REPORT_MALFORMED


class ReportedMovement(NamedTuple):
    """A row of a report, exact, as text in the order in which it is staged.

    Amounts are minor units; instants are ISO 8601 in UTC; `metadata` is JSON with our own ids.
    """

    id: str
    kind: MovementKind
    category: str
    source_id: str | None
    provider_payment_id: str | None
    provider_charge_id: str | None
    amount: str
    fee: str
    net: str
    currency: str
    customer_amount: str | None
    customer_currency: str | None
    exchange_rate: str | None
    provider_payout_id: str | None
    created: str
    available_on: str | None
    metadata: str


class ReportReader(Protocol):
    """Reads the reports of a kind of provider, in bounded memory."""

    def check(self, path: Path) -> None:
        """Check that a file is a report. Raises: MalformedReport."""
        ...

    def lacks_customers_money(self, path: Path) -> Sequence[str]:
        """Return the columns that the file lacks to say what customers paid in their currency.

        A balance in another currency can't be compared without. Raises: MalformedReport.
        """
        ...

    def movements(
        self, path: Path, zone: tzinfo
    ) -> Iterator[ReportedMovement | ProviderPayout | Unreadable]:
        """Yield its rows. Raises: MalformedReport at the first that can't be read exactly.

        Instants that aren't in UTC by the file's own word are in `zone`. A payout follows the row
        that shows how far it came.
        A row in a currency that can't stand in books is `Unreadable`, and the others go on.
        """
        ...


@dataclass(frozen=True, slots=True)
class ReportFile:
    """A report's file, the reader of its provider's kind, and the zone of what isn't in UTC."""

    path: Path
    reader: ReportReader
    zone: tzinfo = UTC
