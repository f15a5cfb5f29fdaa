"""Prices of items and what coupons take off, in words."""

from datetime import date
from fractions import Fraction

import pytest

from billing.plans.coupons import Coupon
from billing.plans.items import Item, Package, QuantityRange, Tier
from billing.presenters.prices import coupon_words, item_words, price_words_in

ANY = QuantityRange()
TIERS = (
    Tier(5, {"USD": Fraction(0)}),
    Tier(50, {"USD": Fraction(1200)}),
    Tier(None, {"USD": Fraction(950)}, {"USD": 10000}),
)


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (Item("base", price={"USD": 9900, "EUR": 9500}), "base 95.00 EUR, 99.00 USD"),
        (Item("setup", once=True, price={"JPY": 500}), "setup 500 JPY once"),
        (
            Item("calls", per="call", quantity=ANY, unit={"USD": Fraction(8, 100)}),
            "calls 0.0008 USD a call",
        ),
        (
            Item("seats", per="seat", quantity=ANY, tiering="graduated", tiers=TIERS),
            "seats to 5 0.00, to 50 12.00, beyond 9.50 and 100.00 USD a seat (graduated)",
        ),
        (
            Item("seats", per="seat", quantity=ANY, tiering="volume", tiers=TIERS[2:]),
            "seats beyond 9.50 and 100.00 USD a seat (volume)",
        ),
        (
            Item(
                "exports",
                per="export",
                quantity=ANY,
                package=Package(100, {"USD": 500}),
                included=Fraction(200),
                minimum={"USD": 100},
                maximum={"USD": 8000},
            ),
            "exports 5.00 USD a package of 100 export beyond 200 included, at least 1.00 USD,"
            " at most 80.00 USD",
        ),
        (
            Item("e", per="export", quantity=ANY, package=Package(10, {"USD": 500}, "down")),
            "e 5.00 USD a package of 10 export (none for fewer)",
        ),
    ],
)
def test_the_price_of_an_item_is_told(item: Item, words: str) -> None:
    assert item_words(item) == words


def test_an_item_without_a_price_in_a_currency_says_so() -> None:
    assert price_words_in(Item("base", price={"USD": 1}), "EUR") == "no price in EUR"


@pytest.mark.parametrize(
    ("coupon", "words"),
    [
        (Coupon("a", percent=Fraction("12.5")), "12.5 % off, once"),
        (
            Coupon("b", amounts={"USD": 500, "EUR": 450}, rest="kept"),
            "4.50 EUR, 5.00 USD off, once, its rest is kept",
        ),
        (
            Coupon(
                "c",
                percent=Fraction(15),
                on=("base", "seats"),
                duration="months",
                number=6,
                until=date(2027, 6, 30),
                limit=1000,
            ),
            "15 % off of base, seats, for 6 months, until 2027-06-30, 1000 times at most",
        ),
    ],
)
def test_what_a_coupon_takes_off_is_told(coupon: Coupon, words: str) -> None:
    assert coupon_words(coupon) == words
