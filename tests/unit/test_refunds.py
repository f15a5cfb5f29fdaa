"""How much may go back, of what, and which state follows which."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rules.money import Money
from billing.rules.refunds import (
    Parts,
    RefundState,
    RefundStatus,
    next_state,
    note_parts,
    refundable,
    split,
)


def usd(amount: int) -> Money:
    return Money(amount, "USD")


# --- splitting ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "left", "expected"),
    [
        (1550, Parts(1000, 2100), Parts(500, 1050)),  # ten of 31 days are earned
        (3100, Parts(1000, 2100), Parts(1000, 2100)),  # all of it
        (1189, Parts(300, 699, 190), Parts(300, 699, 190)),
        (1, Parts(300, 699, 190), Parts(0, 1, 0)),  # the largest remainder
        (2, Parts(1, 1, 1), Parts(1, 1, 0)),  # the earlier part wins a tie
        (100, Parts(0, 0, 500), Parts(0, 0, 100)),
        (100, Parts(500), Parts(100)),
        (150, Parts(40, 50, 10), Parts(90, 50, 10)),  # beyond what is left
        (7, Parts(), Parts(7)),
    ],
)
def test_a_refund_is_split_by_what_is_left(amount: int, left: Parts, expected: Parts) -> None:
    assert split(usd(amount), left) == expected


@pytest.mark.parametrize(
    ("net", "tax", "left", "expected"),
    [
        (310, 0, Parts(1000, 2100), Parts(100, 210)),  # ten of 31 days are earned
        (3100, 589, Parts(1000, 2100, 589), Parts(1000, 2100, 589)),  # all of it
        (2700, 513, Parts(20655, 20655, 7849), Parts(1350, 1350, 513)),
        (1, 0, Parts(300, 699, 190), Parts(0, 1, 0)),  # the largest remainder
        (0, 10, Parts(0, 0, 10), Parts(tax=10)),
        (0, 0, Parts(5, 5, 5), Parts()),
        (5, 0, Parts(5), Parts(5)),
        (3100, 589, Parts(1000, 2099, 589), None),
        (3100, 590, Parts(1000, 2100, 589), None),
        (1, 0, Parts(tax=5), None),
    ],
)
def test_a_credit_note_is_split_by_what_is_left_and_has_the_tax_it_says(
    net: int, tax: int, left: Parts, expected: Parts | None
) -> None:
    assert note_parts(usd(net), usd(tax), left) == expected


parts = st.builds(Parts, st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**8))


@given(parts, st.lists(st.integers(1, 10**9), max_size=8))
def test_partial_refunds_add_up_to_the_whole_and_no_part_goes_below_zero(
    whole: Parts, amounts: list[int]
) -> None:
    left, given_back = whole, Parts()
    for wanted in [*amounts, whole.total]:
        amount = min(wanted, left.total)
        share = split(usd(amount), left)
        assert share.total == amount
        left = minus(left, share)
        assert min(left.recognised, left.deferred, left.tax) >= 0
        given_back = minus(given_back, Parts(-share.recognised, -share.deferred, -share.tax))
    assert left == Parts()
    assert given_back == whole


def minus(parts: Parts, less: Parts) -> Parts:
    return Parts(
        parts.recognised - less.recognised, parts.deferred - less.deferred, parts.tax - less.tax
    )


@given(st.integers(1, 10**9), parts)
def test_each_part_is_within_one_minor_unit_of_its_share(amount: int, left: Parts) -> None:
    if amount > left.total:
        return

    share = split(usd(amount), left)

    for got, weight in (
        (share.recognised, left.recognised),
        (share.deferred, left.deferred),
        (share.tax, left.tax),
    ):
        assert abs(got * left.total - amount * weight) < left.total


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
