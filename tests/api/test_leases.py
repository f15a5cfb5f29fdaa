"""Whose an idempotency key is while somebody works on it."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from billing.flows.service.idempotency import (
    Claim,
    KeyedAnswer,
    KeyedRequest,
    RequestInFlight,
    claim,
    keep,
    release,
)
from tests.scenarios.world import BEGINNING, World

LEASE = timedelta(minutes=1)
REQUEST = KeyedRequest("api:shop", "a-key", "payments.charge", {"amount": 999})


def claimed(engine: Engine, minutes: int) -> Claim:
    with engine.begin() as conn:
        found = claim(conn, REQUEST, wall=BEGINNING + timedelta(minutes=minutes), lease=LEASE)
    assert isinstance(found, Claim)
    return found


def test_who_was_too_slow_gives_nobody_elses_claim_up(world: World) -> None:
    slow = claimed(world.engine, 0)
    quick = claimed(world.engine, 2)

    release(world.engine, slow)

    assert quick.resource_id == slow.resource_id
    with pytest.raises(RequestInFlight):
        claimed(world.engine, 2)
    release(world.engine, quick)
    assert claimed(world.engine, 2).taken_up


def test_a_lease_that_a_wrong_clock_set_far_ahead_is_over(world: World) -> None:
    claimed(world.engine, 60 * 24 * 400)

    assert claimed(world.engine, 0).taken_up
    with pytest.raises(RequestInFlight):
        claimed(world.engine, 0)


def test_the_first_answer_stays_and_is_what_everybody_is_told(world: World) -> None:
    slow = claimed(world.engine, 0)
    quick = claimed(world.engine, 2)

    with world.engine.begin() as conn:
        first = keep(conn, quick, KeyedAnswer(201, {"n": 1}), wall=BEGINNING)
        second = keep(conn, slow, KeyedAnswer(402, {"n": 2}), wall=BEGINNING)
        told = claim(conn, REQUEST, wall=BEGINNING, lease=LEASE)

    assert (first.status, second.status, second.replayed) == (201, 201, True)
    assert told == second
