"""Judging a charge of the provider's list of charges, minutes after it was made."""

from dataclasses import dataclass

from billing.rules.money import Money
from billing.rules.payments import State
from billing.rules.reconciliation.breaks import BreakKind


@dataclass(frozen=True, slots=True)
class OurSide:
    """Our side of a payment. `charge_id` is the charge that captured it, as far as we know."""

    state: State
    money: Money
    charge_id: str | None


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
    """Our attempt is still open: it gets its outcome first."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The sides differ; `kind` says how."""

    kind: BreakKind


Verdict = Confirmed | NotYet | Difference


def compare(ours: OurSide | None, theirs: ProviderSide) -> Verdict:
    """Judge one captured charge at the provider against the payment it belongs to, if any."""
    if ours is None:
        return Difference(BreakKind.UNKNOWN_AT_PROVIDER)
    if ours.state in (State.CREATED, State.AUTHORIZED):
        # Its answer may still come: the open attempt, or the next one, will find the money.
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
