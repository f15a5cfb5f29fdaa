"""A lost answer is resolved in the way that the provider allows at its age."""

from collections.abc import Callable
from datetime import timedelta
from typing import Literal

import pytest

from billing.flows.policy import Policy
from billing.flows.provider_calls import ask
from billing.gateway import Absent, ChargeRequest, Outcome, Unknown
from tests.contract.gateway.test_charging import paid
from tests.contract.gateway.worlds import BEGIN, DAY, ProviderWorld, When, opened

THREE_DAYS = 3 * DAY  # Stripe has forgotten a key by then, Braintree has not
Way = Literal["key", "lists"]


def lost(world: ProviderWorld, when: When, ago: timedelta) -> ChargeRequest:
    """Lose the answer to a charge, so long ago."""
    request = world.request()
    world.lose(when, "charge")
    assert isinstance(world.gateway.charge(request, first_send=True), Unknown)
    world.later(ago)
    return request


def resolved(
    world: ProviderWorld, request: ChargeRequest, age: timedelta
) -> tuple[Outcome | Absent, Way]:
    """Ask for an outcome as the engine does; return it, and the way that it took."""
    ways: list[Way] = []

    def noted(way: Way, answer: Callable[[], Outcome | Absent]) -> Callable[[], Outcome | Absent]:
        def asked() -> Outcome | Absent:
            ways.append(way)
            return answer()

        return asked

    outcome = ask(
        sends=2,
        age=age,
        capabilities=world.gateway.capabilities,
        policy=Policy(),
        by_key=noted("key", lambda: world.gateway.charge(request, first_send=False)),
        by_looking=noted("lists", lambda: world.gateway.look_up(request, since=BEGIN)),
    )
    (way,) = ways
    return outcome, way


@pytest.mark.parametrize(("kind", "way"), [("stripe", "lists"), ("braintree", "key")])
def test_an_answer_that_was_lost_three_days_ago_is_found_without_a_second_charge(
    kind: str, way: Way
) -> None:
    with opened(kind) as world:
        request = lost(world, "after", THREE_DAYS)

        outcome, taken = resolved(world, request, THREE_DAYS)

        assert taken == way
        assert paid(outcome).amount == request.amount
        assert world.captured() == 1


@pytest.mark.parametrize(("kind", "way"), [("stripe", "lists"), ("braintree", "key")])
def test_a_request_that_was_lost_three_days_ago_is_proven_absent_or_made_now(
    kind: str, way: Way
) -> None:
    with opened(kind) as world:
        request = lost(world, "before", THREE_DAYS)

        outcome, taken = resolved(world, request, THREE_DAYS)

        assert taken == way
        if way == "lists":
            assert outcome == Absent()
            assert world.captured() == 0
        else:
            assert paid(outcome).amount == request.amount
            assert world.captured() == 1


@pytest.mark.parametrize("kind", ["stripe", "braintree"])
def test_an_answer_that_every_key_has_outlived_is_looked_up(kind: str) -> None:
    with opened(kind) as world:
        request = lost(world, "after", 31 * DAY)

        outcome, taken = resolved(world, request, 31 * DAY)

        assert taken == "lists"
        assert paid(outcome).amount == request.amount
        assert world.captured() == 1
