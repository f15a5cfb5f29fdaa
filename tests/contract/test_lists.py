"""Lists: pages in both directions, filters, expansion."""

from typing import Any

import pytest
import stripe

from tests.contract.cards import charge, customer_with
from tests.contract.conftest import Shop

NOON = 1_800_000_000


@pytest.fixture
def intents(client: stripe.StripeClient, shop: Shop) -> list[str]:
    """Seven PaymentIntents, oldest first, two at each instant but the last."""
    customer, method = customer_with(client)
    made = []
    for n in range(7):
        shop.control("POST", "clock", now=NOON + n // 2)
        made.append(charge(client, customer, method).id)
    return made


def test_pages_join_without_gap_or_repetition(
    client: stripe.StripeClient, intents: list[str]
) -> None:
    pages = client.v1.payment_intents.list({"limit": 3})

    assert [item.id for item in pages.auto_paging_iter()] == intents[::-1]


def test_a_page_can_be_walked_backwards(client: stripe.StripeClient, intents: list[str]) -> None:
    page = client.v1.payment_intents.list({"limit": 2, "ending_before": intents[0]})

    assert [item.id for item in page.data] == [intents[2], intents[1]]
    assert page.has_more


@pytest.mark.parametrize(
    ("created", "found"),
    [
        ({"gte": NOON + 1, "lt": NOON + 3}, slice(2, 6)),
        ({"gt": NOON + 1}, slice(4, 7)),
        ({"lte": NOON}, slice(0, 2)),
        (NOON + 3, slice(6, 7)),
    ],
)
def test_created_filters_are_half_open_as_asked(
    client: stripe.StripeClient, intents: list[str], created: Any, found: slice
) -> None:
    page = client.v1.payment_intents.list({"created": created, "limit": 100})

    assert [item.id for item in page.data] == intents[found][::-1]


def test_lists_filter_by_customer(client: stripe.StripeClient, intents: list[str]) -> None:
    customer, method = customer_with(client)
    mine = charge(client, customer, method)

    for page in (
        client.v1.payment_intents.list({"customer": customer}),
        client.v1.charges.list({"customer": customer}),
    ):
        assert len(page.data) == 1
    assert client.v1.charges.list({"payment_intent": intents[0]}).data[0].id != mine.latest_charge


def test_balance_transactions_carry_their_source_when_asked(
    client: stripe.StripeClient, intents: list[str]
) -> None:
    v1 = client.v1
    v1.refunds.create({"payment_intent": intents[0]})
    expand = ["data.source", "data.source.payment_intent"]

    page = v1.balance_transactions.list({"limit": 100, "expand": expand})
    charges_only = v1.balance_transactions.list({"type": "charge", "limit": 100})

    paid = {move.source.payment_intent.id for move in page.data}  # type: ignore[union-attr]
    assert paid == set(intents)
    assert len(page.data) == 8
    assert len(charges_only.data) == 7


def test_events_filter_by_type_and_delivery(
    client: stripe.StripeClient, intents: list[str]
) -> None:
    events = client.v1.events
    wanted = ["charge.succeeded", "payment_intent.created"]

    assert len(events.list({"type": "charge.succeeded", "limit": 100}).data) == len(intents)
    assert len(events.list({"types": wanted, "limit": 100}).data) == 2 * len(intents)
    assert events.list({"delivery_success": False}).data == []
    assert len(events.list({"delivery_success": True}).data) == 10


def test_an_event_keeps_the_object_as_it_was(
    client: stripe.StripeClient, intents: list[str]
) -> None:
    created = client.v1.events.list({"type": "payment_intent.created", "limit": 1}).data[0]

    assert created.data.object["id"] == intents[-1]
    assert created.data.object["status"] == "requires_confirmation"


@pytest.mark.parametrize("limit", [0, 101])
def test_a_page_has_1_to_100_objects(client: stripe.StripeClient, limit: int) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.charges.list({"limit": limit})


def test_a_cursor_that_names_nothing_is_refused(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="No such charge"):
        client.v1.charges.list({"starting_after": "ch_nothing"})
