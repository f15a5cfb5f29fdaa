"""What becomes of a customer's payments when another account collects from them."""

from enum import StrEnum

from billing.rules.payments import State


class Follows(StrEnum):
    """Whether, and when, a payment is tried at the new account."""

    NOW = "now"
    """It waited for another payment method, and is tried at once."""
    NEXT_ATTEMPT = "next_attempt"
    """Its next attempt is made there."""
    OUTCOME_FIRST = "outcome_first"
    """A call of it is open: nothing else is tried before its outcome is known."""
    RELEASE_FIRST = "release_first"
    """It is parked; once it is released, it is tried there."""
    STAYS = "stays"
    """Money is held or asked for with a payment method of its own: it stays where that is."""
    THERE = "there"
    """It is at the new account already."""


def follows(
    *,
    state: State,
    is_there: bool,
    has_open_call: bool,
    has_own_method: bool,
    is_parked: bool,
    waits: bool,
) -> Follows:
    """Return what becomes of one payment; the first reason that applies counts."""
    if state is State.AUTHORIZED or has_own_method:
        return Follows.STAYS
    if is_there:
        return Follows.THERE
    if has_open_call:
        return Follows.OUTCOME_FIRST
    if is_parked:
        return Follows.RELEASE_FIRST
    return Follows.NOW if waits else Follows.NEXT_ATTEMPT
