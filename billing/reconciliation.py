"""Comparing one provider charge with our payment: pure, both sides in, a verdict out."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from billing.money import Money
from billing.payments import State


class BreakKind(StrEnum):
    """What sort of difference reconciliation found."""

    AMOUNT_MISMATCH = "amount_mismatch"
    CURRENCY_MISMATCH = "currency_mismatch"
    DUPLICATE_CHARGE = "duplicate_charge"
    CAPTURED_AT_PROVIDER_ONLY = "captured_at_provider_only"
    UNKNOWN_AT_PROVIDER = "unknown_at_provider"
    MISSING_AT_PROVIDER = "missing_at_provider"
    RECEIVABLE_OPEN = "receivable_open"


SUGGESTED_CAUSES: Final = {
    BreakKind.AMOUNT_MISMATCH: "the PaymentIntent was changed at the provider, or captured in part",
    BreakKind.CURRENCY_MISMATCH: "the PaymentIntent was made by something else than this engine",
    BreakKind.DUPLICATE_CHARGE: "two charges of one PaymentIntent or one invoice succeeded",
    BreakKind.CAPTURED_AT_PROVIDER_ONLY: "the customer was charged after we had given up",
    BreakKind.UNKNOWN_AT_PROVIDER: "a charge made in the provider's dashboard or by another system",
    BreakKind.MISSING_AT_PROVIDER: "booked without a charge, or charged under another account",
    BreakKind.RECEIVABLE_OPEN: "the invoice is resolved but the journal still shows a receivable",
}


@dataclass(frozen=True, slots=True)
class OurSide:
    """What we hold of a payment. `charge_id` is the charge that we believe captured it."""

    state: State
    money: Money
    charge_id: str | None
    attempt_open: bool


@dataclass(frozen=True, slots=True)
class ProviderSide:
    """One succeeded and captured charge at the provider."""

    charge_id: str
    money: Money


@dataclass(frozen=True, slots=True)
class Confirmed:
    """Both sides agree."""


@dataclass(frozen=True, slots=True)
class NotYet:
    """Our attempt is still open: its own resolution comes first."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The sides differ; `kind` says how."""

    kind: BreakKind

    @property
    def suggested_cause(self) -> str:
        """The likeliest reason, for the person who looks first."""
        return SUGGESTED_CAUSES[self.kind]


Verdict = Confirmed | NotYet | Difference


def compare(ours: OurSide | None, theirs: ProviderSide) -> Verdict:
    """Judge one captured charge at the provider against the payment it belongs to, if any."""
    if ours is None:
        return Difference(BreakKind.UNKNOWN_AT_PROVIDER)
    if ours.state in (State.CREATED, State.AUTHORIZED):
        # Its answer may be on the way: the open attempt, or the next one, will find the money.
        return NotYet()
    if ours.state is State.FAILED:
        return Difference(BreakKind.CAPTURED_AT_PROVIDER_ONLY)
    if ours.charge_id is not None and ours.charge_id != theirs.charge_id:
        return Difference(BreakKind.DUPLICATE_CHARGE)
    if ours.money.currency != theirs.money.currency:
        return Difference(BreakKind.CURRENCY_MISMATCH)
    if ours.money != theirs.money:
        return Difference(BreakKind.AMOUNT_MISMATCH)
    return Confirmed()
