"""Outcomes that the database doesn't take: kept, written when it does, and nothing sent before."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from billing.errors import Unavailable
from billing.flows.service.callers import Caller
from billing.flows.service.customers import CustomerApi
from tests.scenarios.full_disk import full
from tests.scenarios.money import give_back
from tests.scenarios.world import World


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other at once."""
    monkeypatch.setattr("billing.workers.runtime.outcomes.PAUSE_SECONDS", 0.0)


def test_nothing_is_sent_while_the_last_outcome_cannot_be_written(
    world: World, db_url: str
) -> None:
    customers = [world.subscribed("video-premium") for _ in range(5)]
    world.open()
    first, *others = world.dispatch()

    with full(db_url, "ledger.postings"):
        with pytest.raises(OperationalError, match="No space left"):
            world.charge(first)
        for payment_id in others:
            world.charge(payment_id)
        assert world.psp.sends() == 1
        assert "1 outcomes can't be written" in str(world.runtime.outcomes.check())

    assert not world.runtime.outcomes.held(), "the outcome was kept, and is written now"
    assert world.runtime.outcomes.check() is None
    assert world.psp.sends() == 1, "nobody asked the provider again"
    for payment_id in others:
        world.charge(payment_id)
    assert [world.psp.captures(each) for each in customers] == [1] * 5
    world.assert_everything_adds_up()


def test_a_refund_that_cannot_be_written_holds_back_the_next_charge(
    world: World, db_url: str
) -> None:
    ada, bob = world.subscribed("video-premium"), world.subscribed("video-premium")
    world.open()
    first, second = world.dispatch()
    world.charge(first)
    paid = next(each for each in (ada, bob) if world.payment(each).state == "CAPTURED")
    give_back(world, world.payment(paid).id)
    (refund_id,) = world.dispatch_refunds()

    with full(db_url, "ledger.postings"):
        with pytest.raises(OperationalError, match="No space left"):
            world.refund(refund_id)
        world.charge(second)
        assert world.psp.sends() == 1

    world.charge(second)
    assert world.psp.sends() == 2
    world.settle()
    world.assert_everything_adds_up()


def test_no_customer_is_made_while_the_last_outcome_cannot_be_written(
    world: World, db_url: str
) -> None:
    world.subscribed("video-premium")
    world.open()
    (payment_id,) = world.dispatch()
    api = CustomerApi(world.runtime.context, world.runtime.outcomes.held)
    new: dict[str, Any] = {
        "name": "Bob", "email": None, "external_id": None, "payment_method": None,
    }  # fmt: skip
    before = world.psp.sends("POST /v1/customers")

    with full(db_url, "ledger.postings"):
        with pytest.raises(OperationalError, match="No space left"):
            world.charge(payment_id)
        with pytest.raises(Unavailable, match="doesn't take what the provider answered"):
            api.create_customer(Caller("key_1", "shop"), "bob-1", **new)
        assert world.psp.sends("POST /v1/customers") == before

    assert api.create_customer(Caller("key_1", "shop"), "bob-1", **new).status == 201
    assert world.psp.sends("POST /v1/customers") == before + 1


def test_an_outcome_that_is_unknown_is_not_written_after_its_lease(
    world: World, db_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = world.subscribed("video-premium")
    world.open()
    (payment_id,) = world.dispatch()
    world.psp.lose_next_answer(after_commit=True)
    sending = world.begin(payment_id)
    assert sending is not None
    unknown = world.send(sending)
    real_time = [0.0]
    clock = SimpleNamespace(monotonic=lambda: real_time[0], sleep=lambda _: None)
    monkeypatch.setattr("billing.workers.runtime.outcomes.time", clock)

    with full(db_url, "provider_calls"), pytest.raises(OperationalError):
        world.runtime.outcomes.write(
            "payment", lambda: world.finish(sending, unknown), good_for=60.0
        )
    real_time[0] = 61.0
    world.wait(timedelta(minutes=3))
    again = world.begin(payment_id)
    assert again is not None
    assert not world.runtime.outcomes.held(), "the answer is dropped: another one is asked for"
    assert world.begin(payment_id) is None, "whose lease still holds"
    world.finish(again, world.send(again))
    assert world.psp.captures(customer) == 1
    world.assert_everything_adds_up()


def test_a_row_that_somebody_else_has_locked_holds_nobody_else_back(
    world: World,
) -> None:
    world.subscribed("video-premium")
    world.subscribed("video-premium")
    world.open()
    first, second = world.dispatch()
    tries = []

    def locked() -> None:
        tries.append(1)
        with world.engine.begin() as conn:
            conn.exec_driver_sql(
                "DO $$ BEGIN RAISE EXCEPTION 'locked' USING ERRCODE = '55P03'; END $$"
            )

    with pytest.raises(OperationalError, match="locked"):
        world.runtime.outcomes.write("payment", locked)
    world.charge(second)

    assert len(tries) == 5
    assert world.psp.sends() == 1
    world.charge(first)
    world.assert_everything_adds_up()
