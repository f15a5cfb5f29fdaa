"""A provider's capabilities and limits. The engine reads these and never a provider's name."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Replay(StrEnum):
    """A provider's answer to a request whose idempotency key it has seen before."""

    FIRST_ANSWER = "first_answer"
    """The answer it gave the first time, an error of its own included."""
    PRESENT_STATE = "present_state"
    """The present state of the first request: sending it again is a look-up."""


class PayoutBasis(StrEnum):
    """What of the movements that a payout carried makes its amount."""

    GROSS = "gross"
    """Their amounts: fees are billed apart."""
    NET = "net"
    """Their amounts less their fees."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The facts of one kind of provider.

    `key_max_age`: up to this age a key surely holds. An older attempt is looked up, never sent.
    `lists_events`, `lists_movements`, `lists_balance`: events, what moved on the balance, and the
    sum of the balance can be read. `movements_lag`: how much later than its date a movement may be
    listed for the first time. `settles_within`: how long after its capture a payment's movement is
    dated, as a rule.
    `payout_basis`: what the movements of a payout come to, where each names its payout and is dated
    as it; None where they don't.
    `holds_payment`: a payment is there before money moves, and all attempts share it. Without it
    each attempt makes one of its own.
    `minimum_amounts`: the smallest amounts that it charges, in minor units by currency.
    `computes_taxes`: its gateway is a `taxes.TaxService`, too.
    """

    key_max_age: timedelta
    replay: Replay
    lists_events: bool
    lists_balance: bool
    lists_movements: bool
    holds_payment: bool
    minimum_amounts: Mapping[str, int]
    movements_lag: timedelta = timedelta(0)
    settles_within: timedelta = timedelta(0)
    payout_basis: PayoutBasis | None = None
    computes_taxes: bool = False

    @property
    def shown_within(self) -> timedelta:
        """How long after its capture a payment's movement may be missing, as a rule."""
        return self.settles_within + self.movements_lag
