"""The series of a credit note's number, and what leaves us by a note."""

import pytest

from billing.rules.credit_notes import Destination, series_of


@pytest.mark.parametrize(
    ("invoice", "series"),
    [
        ("K7Q2MX-0012", "K7Q2MX"),
        ("K7Q2MX-10012", "K7Q2MX"),
        ("SHOP-2-0001", "SHOP-2"),
        ("0012", "0012"),
    ],
)
def test_notes_are_numbered_in_the_series_of_their_invoice(invoice: str, series: str) -> None:
    assert series_of(invoice) == series


def test_money_leaves_us_but_for_credit() -> None:
    assert [each for each in Destination if each.is_money] == [
        Destination.REFUND,
        Destination.OUTSIDE,
    ]
