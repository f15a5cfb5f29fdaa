"""Which adjustments take two people."""

import pytest

from billing.rules.money import Money
from billing.rules.reconciliation import needs_second_person

ABOVE = {"USD": 10_000, "JPY": 0}


@pytest.mark.parametrize(
    ("adjustment", "needed"),
    [
        (None, False),
        (Money(10_000, "USD"), False),
        (Money(10_001, "USD"), True),
        (Money(-10_000, "USD"), False),
        (Money(-10_001, "USD"), True),
        (Money(1, "JPY"), True),
        (Money(10_001, "EUR"), False),
    ],
)
def test_an_adjustment_above_the_amount_takes_two_people(
    adjustment: Money | None, needed: bool
) -> None:
    assert needs_second_person(adjustment, ABOVE) is needed
    assert needs_second_person(adjustment, {}) is False
