"""The terms of a coupon can't contradict themselves."""

from fractions import Fraction
from typing import Any

import pytest

from billing.plans.coupons import Coupon


@pytest.mark.parametrize(
    "terms",
    [
        {"percent": Fraction(15)},
        {"percent": Fraction(100), "duration": "forever"},
        {"amounts": {"USD": 2000}, "duration": "invoices", "number": 3},
        {"percent": Fraction(1, 3), "duration": "months", "number": 6},
        {"amounts": {"USD": 1}, "rest": "kept"},
    ],
)
def test_terms_of_a_coupon(terms: dict[str, Any]) -> None:
    assert Coupon("spring", **terms).code == "spring"


@pytest.mark.parametrize(
    ("terms", "why"),
    [
        ({}, "either"),
        ({"percent": Fraction(15), "amounts": {"USD": 2000}}, "either"),
        ({"percent": Fraction(0)}, "more than 0"),
        ({"percent": Fraction(101)}, "at most 100"),
        ({"amounts": {"USD": 0}}, "from 1 minor unit"),
        ({"percent": Fraction(15), "number": 2}, "not 2 times"),
        ({"percent": Fraction(15), "duration": "months", "number": 0}, "not 0 times"),
        ({"percent": Fraction(15), "duration": "forever", "number": 2}, "not 2 times"),
        ({"percent": Fraction(15), "rest": "kept"}, "rest"),
        ({"amounts": {"USD": 1}, "duration": "forever", "rest": "kept"}, "rest"),
    ],
)
def test_terms_that_contradict_themselves_are_refused(terms: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Coupon("spring", **terms)
