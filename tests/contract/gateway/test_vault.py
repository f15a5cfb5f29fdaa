"""Customers and payment methods: made once under a key, found, and listed."""

import pytest

from billing.errors import BadInput, Unavailable
from billing.gateway import Absent
from tests.contract.gateway.worlds import BEGIN, DAY, ProviderWorld


def new_customer(world: ProviderWorld, n: int = 1) -> str:
    return world.gateway.create_customer(
        name="Grace Hopper",
        email="grace@example.com",
        metadata={"customer": f"ours_{n}", "engine": "e1"},
        idempotency_key=f"test:customer:{n}",
    )


def test_a_customer_is_made_once_under_a_key(world: ProviderWorld) -> None:
    assert new_customer(world) == new_customer(world)
    assert new_customer(world, 2) != new_customer(world, 1)


def test_a_customer_whose_answer_was_lost_is_found_again(world: ProviderWorld) -> None:
    world.lose("after", "customer")
    with pytest.raises(Unavailable):
        new_customer(world)

    looked_up = world.gateway.look_up_customer({"customer": "ours_1"}, since=BEGIN)

    assert new_customer(world) == looked_up
    assert world.gateway.look_up_customer({"customer": "ours_2"}, since=BEGIN) == Absent()


def test_a_customer_is_read_as_it_was_made(world: ProviderWorld) -> None:
    found = world.gateway.customer_by_id(new_customer(world))

    assert found is not None
    assert (found.name, found.email) == ("Grace Hopper", "grace@example.com")
    assert found.metadata == {"customer": "ours_1", "engine": "e1"}
    assert found.created == BEGIN
    assert world.gateway.customer_by_id("nobody") is None


def test_a_customer_carries_a_name_of_500_characters(world: ProviderWorld) -> None:
    named = {"customer": "ours_9", "external_id": "crm " * 124 + "crm!"}
    made = world.gateway.create_customer(
        name="Bob", email=None, metadata=named, idempotency_key="test:customer:long"
    )

    found = world.gateway.customer_by_id(made)

    assert found is not None
    assert found.metadata == named
    assert world.gateway.look_up_customer(named, since=BEGIN) == made


def test_a_payment_method_is_attached_once_under_a_key(world: ProviderWorld) -> None:
    first, again = world.method(), world.method()

    assert first == again
    assert first.provider_customer_id == world.customer
    assert world.gateway.payment_method_by_id(first.token) == first
    assert world.gateway.payment_method_by_id("none-of-that-name") is None


def test_a_payment_method_whose_answer_was_lost_is_attached_once(world: ProviderWorld) -> None:
    world.lose("after", "method")
    with pytest.raises(Unavailable):
        world.method()

    attached = world.method()

    assert list(world.gateway.payment_methods_of(world.customer)) == [attached]


def test_the_newest_payment_method_comes_first(world: ProviderWorld) -> None:
    first = world.method()
    world.later(DAY)
    second = world.method("soft")

    assert list(world.gateway.payment_methods_of(world.customer)) == [second, first]


def test_what_is_no_payment_method_is_refused(world: ProviderWorld) -> None:
    with pytest.raises(BadInput):
        world.gateway.attach_payment_method(
            world.customer, world.refused_token, idempotency_key="k"
        )
