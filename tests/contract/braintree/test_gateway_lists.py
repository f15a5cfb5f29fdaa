"""Lists are complete, or an error: also where there is more than one search finds."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from billing.errors import Unavailable
from billing.gateway import Absent, Unknown
from billing.gateway.braintree.client import LONGEST_SEARCHES, created_in
from billing.gateway.braintree.reads import middle_of
from billing.gateway.objects import unreadable_in
from tests.contract.braintree.shop import DAY, HOUR, Shop
from tests.contract.braintree.till import BEGAN, Till, refund_of, till

SECOND = timedelta(seconds=1)


@pytest.fixture
def shop_till(shop: Shop) -> Iterator[Till]:
    opened = till(shop)
    yield opened
    opened.gateway.close()


def charges(opened: Till, count: int) -> list[str]:
    """Make charges, an hour apart; return them, the newest first."""
    made = []
    for n in range(count):
        made.append(opened.charged(n=n, metadata={"payment": f"pay_{n}"}).provider_payment_id)
        opened.shop.later(HOUR)
    return made[::-1]


def listed(opened: Till, until: datetime | None = None) -> list[str]:
    pages = opened.gateway.list_charges(since=BEGAN, until=until)
    return [each.id for page in pages for each in page]


def test_a_window_with_more_than_a_search_finds_is_divided(
    shop_till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = charges(shop_till, 9)
    monkeypatch.setitem(LONGEST_SEARCHES, "transactions", 3)

    assert listed(shop_till) == made
    assert listed(shop_till, BEGAN + timedelta(hours=4)) == made[5:]


def test_more_than_a_search_finds_in_a_second_is_an_error_and_no_complete_list(
    shop_till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(3):
        shop_till.charged(n=n, metadata={"payment": "pay_1"})
    shop_till.shop.later(HOUR)
    monkeypatch.setitem(LONGEST_SEARCHES, "transactions", 3)
    request = shop_till.request(n=9)

    with pytest.raises(Unavailable, match="its utmost"):
        listed(shop_till)
    assert not isinstance(shop_till.gateway.find_payment(request, since=BEGAN), Absent)


def test_a_search_that_lacks_what_it_found_is_an_error(
    shop_till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = shop_till.request()
    shop_till.gateway.charge(request, first_send=True)
    shop_till.shop.later(DAY)
    monkeypatch.setattr(type(shop_till.gateway), "_by_ids", lambda *_: [])

    with pytest.raises(Unavailable):
        listed(shop_till)
    assert isinstance(shop_till.gateway.look_up(request, since=BEGAN), Unknown)


def test_a_refund_is_looked_up_without_a_search(shop_till: Till) -> None:
    sale = shop_till.settled()
    request = refund_of(sale)
    shop_till.gateway.refund(request, first_send=True)
    shop_till.shop.fault("error_500_uncommitted", "/transactions/advanced_search", times=9)

    assert not isinstance(shop_till.gateway.look_up_refund(request, since=BEGAN), Absent | Unknown)


def test_an_object_that_cannot_be_read_stands_in_its_page_and_stops_no_other(
    shop_till: Till,
) -> None:
    good, spoilt = charges(shop_till, 2)
    shop_till.control(f"transactions/{spoilt}", amount="99999999999999.00")

    (page,) = shop_till.gateway.list_charges(since=BEGAN)

    assert [each.id for each in page] == [good]
    (unreadable,) = unreadable_in(page)
    assert (unreadable.id, unreadable.type) == (spoilt, "sale")
    assert unreadable.shown == "99999999999999.00 USD"


def test_both_ends_of_a_window_are_rounded_up_to_whole_seconds() -> None:
    since, until = BEGAN + SECOND / 2, BEGAN + 5 * SECOND + SECOND / 2

    assert created_in(since, until) == {
        "created_at": {"min": BEGAN + SECOND, "max": BEGAN + 5 * SECOND}
    }
    assert created_in(None, None) == {}


def test_a_window_is_divided_at_a_whole_second_inside_of_it() -> None:
    assert middle_of(BEGAN, BEGAN + 3 * SECOND) == BEGAN + SECOND
    assert middle_of(BEGAN, BEGAN + SECOND) is None
    assert middle_of(None, BEGAN) is None
    assert middle_of(BEGAN, None) is None
