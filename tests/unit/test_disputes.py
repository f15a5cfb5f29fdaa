"""What the stages of disputes mean."""

import pytest

from billing.rules.disputes import DisputeStage, DisputeState, is_older, movement, state_of
from billing.rules.money import Money


@pytest.mark.parametrize(
    ("stage", "is_inquiry", "state"),
    [
        (DisputeStage.NEEDS_RESPONSE, True, "inquiry"),
        (DisputeStage.UNDER_REVIEW, True, "inquiry"),
        (DisputeStage.UNKNOWN, True, "inquiry"),
        (DisputeStage.CLOSED, True, "inquiry_closed"),
        (DisputeStage.CLOSED, False, "inquiry_closed"),
        (DisputeStage.NEEDS_RESPONSE, False, "opened"),
        (DisputeStage.UNDER_REVIEW, False, "opened"),
        (DisputeStage.UNKNOWN, False, "opened"),
        (DisputeStage.WON, False, "won"),
        (DisputeStage.LOST, False, "lost"),
    ],
)
def test_a_stage_means_a_state(stage: DisputeStage, is_inquiry: bool, state: str) -> None:
    assert state_of(stage, is_inquiry) == state


def test_stages_go_forward_and_a_decision_may_be_taken_again() -> None:
    stages = [
        DisputeState.INQUIRY,
        DisputeState.INQUIRY_CLOSED,
        DisputeState.OPENED,
        DisputeState.WON,
    ]
    for later, known in enumerate(stages):
        for earlier, seen in enumerate(stages):
            assert is_older(seen, known) == (earlier < later)
    assert not is_older(DisputeState.WON, DisputeState.LOST)
    assert not is_older(DisputeState.LOST, DisputeState.WON)


@pytest.mark.parametrize(
    ("amount", "direction"),
    [(-3100, "withheld"), (3100, "returned"), (1, "returned"), (0, "withheld")],
)
def test_what_leaves_the_balance_is_withheld_and_what_comes_is_returned(
    amount: int, direction: str
) -> None:
    moved = movement("txn_1", Money(amount, "USD"), None, Money(1500, "USD"))

    assert (moved.transaction_id, moved.direction) == ("txn_1", direction)
    assert (moved.amount, moved.fee) == (Money(abs(amount), "USD"), Money(1500, "USD"))


def test_the_amount_is_in_the_customers_currency_where_it_is_known() -> None:
    moved = movement("t", Money(-2900, "EUR"), Money(-3100, "USD"), Money(1500, "EUR"))

    assert (moved.amount, moved.fee) == (Money(3100, "USD"), Money(1500, "EUR"))
