"""Payment states: exactly these transitions, each for these causes only."""

from itertools import product

import pytest

from billing.cli.remedies import remedy_of
from billing.errors import BillingError
from billing.rules.payments import TRANSITIONS, Cause, IllegalTransition, State, check_transition

LEGAL = {
    ("CREATED", "AUTHORIZED"): {"outcome", "forced_correction"},
    ("AUTHORIZED", "CAPTURED"): {"outcome", "forced_correction"},
    ("CAPTURED", "SETTLED"): {"settlement"},
    ("CAPTURED", "REFUNDED"): {"refund"},
    ("CAPTURED", "CREATED"): {"settlement_declined"},
    ("SETTLED", "REFUNDED"): {"refund"},
    ("CREATED", "FAILED"): {"outcome", "ladder_over", "void"},
    ("AUTHORIZED", "FAILED"): {"outcome", "ladder_over", "void", "expired"},
    ("REFUNDED", "CAPTURED"): {"refund_failed"},
    ("REFUNDED", "SETTLED"): {"refund_failed"},
    ("FAILED", "CREATED"): {"reopened_by_operator", "reopened_by_payment_method"},
    ("FAILED", "CAPTURED"): {"forced_correction"},
}


@pytest.mark.parametrize(("from_", "to"), list(product(State, State)))
def test_only_legal_transitions_pass_and_only_for_their_causes(from_: State, to: State) -> None:
    for cause in Cause:
        if cause in LEGAL.get((str(from_), str(to)), set()):
            check_transition(from_, to, cause)
        else:
            with pytest.raises(IllegalTransition):
                check_transition(from_, to, cause)


def test_the_way_of_a_payment_that_goes_well() -> None:
    for from_, to, cause in [
        (State.CREATED, State.AUTHORIZED, Cause.OUTCOME),
        (State.AUTHORIZED, State.CAPTURED, Cause.OUTCOME),
        (State.CAPTURED, State.SETTLED, Cause.SETTLEMENT),
        (State.SETTLED, State.REFUNDED, Cause.REFUND),
        (State.REFUNDED, State.SETTLED, Cause.REFUND_FAILED),
    ]:
        check_transition(from_, to, cause)


def test_money_that_moved_never_goes_back_to_collecting_unless_it_never_came() -> None:
    back = {
        (collected, collecting): TRANSITIONS.get((collected, collecting), frozenset())
        for collected in (State.CAPTURED, State.SETTLED, State.REFUNDED)
        for collecting in (State.CREATED, State.AUTHORIZED, State.FAILED)
    }
    assert back.pop((State.CAPTURED, State.CREATED)) == {Cause.SETTLEMENT_DECLINED}
    assert not any(back.values())


def refusal(from_: State, to: State, cause: Cause) -> str:
    """Return what a person is told to do instead of a transition."""
    with pytest.raises(BillingError) as refused:
        check_transition(from_, to, cause)
    return str(remedy_of(refused.value))


def test_an_illegal_transition_says_what_would_be_legal() -> None:
    assert "it goes to: SETTLED, REFUNDED" in refusal(State.CAPTURED, State.FAILED, Cause.OUTCOME)
    assert "allowed causes: settlement_declined" in refusal(
        State.CAPTURED, State.CREATED, Cause.OUTCOME
    )
    assert "it goes to: CAPTURED, SETTLED" in refusal(State.REFUNDED, State.FAILED, Cause.OUTCOME)
    assert "allowed causes: refund_failed" in refusal(State.REFUNDED, State.CAPTURED, Cause.OUTCOME)
    assert "allowed causes: forced_correction" in refusal(
        State.FAILED, State.CAPTURED, Cause.OUTCOME
    )


def test_the_table_can_not_be_changed() -> None:
    with pytest.raises(TypeError):
        TRANSITIONS[State.REFUNDED, State.CREATED] = frozenset()  # type: ignore[index]
