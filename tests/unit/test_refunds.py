"""How much may go back, and which state follows which."""

import pytest

from billing.rules.money import Money
from billing.rules.refunds import (
    RefundState,
    RefundStatus,
    next_state,
    refundable,
)


def usd(amount: int) -> Money:
    return Money(amount, "USD")


# --- room ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("captured", "given_back", "in_dispute", "left"),
    [
        (3100, 0, 0, 3100),
        (3100, 100, 0, 3000),
        (3100, 3099, 0, 1),
        (3100, 3100, 0, 0),
        (3100, 100, 3100, 0),
    ],
)
def test_what_may_go_back_is_what_was_neither_given_nor_taken(
    captured: int, given_back: int, in_dispute: int, left: int
) -> None:
    assert refundable(usd(captured), usd(given_back), usd(in_dispute)) == usd(left)


# --- states -------------------------------------------------------------------------------------

LEADS_TO = {
    "requested": {
        "pending": "pending",
        "succeeded": "succeeded",
        "failed": "failed",
        "canceled": "canceled",
        "unknown": "pending",
    },
    "pending": {"succeeded": "succeeded", "failed": "failed", "canceled": "canceled"},
    "succeeded": {"failed": "failed", "canceled": "failed"},
    "failed": {},
    "canceled": {},
}


@pytest.mark.parametrize("now", RefundState)
@pytest.mark.parametrize("status", RefundStatus)
def test_states_go_forward_only(now: RefundState, status: RefundStatus) -> None:
    reached = next_state(now, status)

    assert (None if reached is None else str(reached)) == LEADS_TO[now].get(status)
