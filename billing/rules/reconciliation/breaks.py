"""Differences between our books and the provider's, as values: kind, subject, sides, cause."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID


class BreakKind(StrEnum):
    """The kind of a difference that reconciliation found."""

    AMOUNT_MISMATCH = "amount_mismatch"
    CURRENCY_MISMATCH = "currency_mismatch"
    FEE_MISMATCH = "fee_mismatch"
    FX_MISMATCH = "fx_mismatch"
    DUPLICATE_CHARGE = "duplicate_charge"
    CAPTURED_AT_PROVIDER_ONLY = "captured_at_provider_only"
    UNKNOWN_AT_PROVIDER = "unknown_at_provider"
    MISSING_AT_PROVIDER = "missing_at_provider"
    REFUND_MISMATCH = "refund_mismatch"
    REFUND_UNKNOWN = "refund_unknown"
    REFUND_MISSING = "refund_missing"
    DISPUTE_MISMATCH = "dispute_mismatch"
    DISPUTE_UNKNOWN = "dispute_unknown"
    PAYOUT_MISMATCH = "payout_mismatch"
    REPORT_MISMATCH = "report_mismatch"
    BALANCE_MISMATCH = "balance_mismatch"
    RECEIVABLE_OPEN = "receivable_open"
    UNREADABLE_OBJECT = "unreadable_object"


class BreakCause(StrEnum):
    """The suggested cause of a break, where it differs from that of its kind."""

    PAID_BETWEEN_ATTEMPTS = "paid_between_attempts"
    REFUND_NOT_ADOPTABLE = "refund_not_adoptable"
    REFUND_MADE_DESPITE_REFUSAL = "refund_made_despite_refusal"
    REFUND_MADE_TWICE = "refund_made_twice"
    REFUNDED_AND_DISPUTED = "refunded_and_disputed"
    DISPUTED_ABOVE_CHARGE = "disputed_above_charge"
    DISPUTED_IN_ANOTHER_CURRENCY = "disputed_in_another_currency"
    PAYOUT_NOT_ITS_MOVEMENTS = "payout_not_its_movements"
    SETTLEMENT_DECLINED = "settlement_declined"


def dedupe_key(kind: BreakKind, subject: object) -> str:
    """Return the key under which one break of a kind is kept about one subject."""
    return f"{kind}:{subject}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakFound:
    """A difference to record.

    `provider` is the account; None where the payment, the run or the customer says it. `subject` is
    the object that differs, ours or the provider's. The list of charges, a refund's
    flow and the settlement use the same subject for the same difference, so that there is one
    break. `ours` and `theirs` are the facts of both sides as JSON; amounts of money that leaves are
    negative in them. `transaction_id` is the balance transaction that shows it.
    """

    kind: BreakKind
    subject: object
    ours: Mapping[str, Any] = field(default_factory=dict)
    theirs: Mapping[str, Any] = field(default_factory=dict)
    cause: BreakCause | None = None
    cycle_id: UUID | None = None
    payment_id: UUID | None = None
    run_id: UUID | None = None
    currency: str | None = None
    transaction_id: str | None = None
    provider: str | None = None

    @property
    def dedupe_key(self) -> str:
        """The key by which the difference is recorded once."""
        return dedupe_key(self.kind, self.subject)

    @property
    def suggested_cause(self) -> str:
        """The code of the suggested cause, as it is stored."""
        return str(self.cause or self.kind)
