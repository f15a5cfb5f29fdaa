"""How many statements the common ways take: a row that is read twice on the way shows here.

The numbers are bounds: a change that needs fewer lowers them, none raises them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from billing.flows.refunds import sending as refund_sending
from billing.flows.webhooks import handling, inbox
from billing.gateway import EventKind, ProviderEvent
from billing.store.identity import engine_id
from tests.scenarios.money import apply_events_of_refund, give_back, paid, refund_row, usd
from tests.scenarios.world import World


@contextmanager
def statements(world: World) -> Iterator[list[str]]:
    """Collect what is sent to the database, transactions and savepoints left out."""
    sent: list[str] = []

    def spy(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith(("SAVEPOINT", "RELEASE", "ROLLBACK")):
            sent.append(" ".join(statement.split()))

    event.listen(world.engine, "before_cursor_execute", spy)
    try:
        yield sent
    finally:
        event.remove(world.engine, "before_cursor_execute", spy)


def within(sent: list[str], most: int) -> bool:
    """Tell whether so many statements are enough; what was sent stands in pytest's output."""
    for number, statement in enumerate(sent, start=1):
        print(f"{number:3} {statement[:150]}")  # noqa: T201
    return 0 < len(sent) <= most


def test_a_renewal_takes_few_statements(world: World) -> None:
    customer = world.subscribed("video-premium")
    with world.engine.connect() as conn:
        engine_id(conn)  # a process reads it once

    with statements(world) as opened:
        assert world.open().opened == 1
    with statements(world) as dispatched:
        (payment_id,) = world.dispatch()
    with statements(world) as begun:
        sending = world.begin(payment_id)
    assert sending is not None
    outcome = world.send(sending)
    with statements(world) as finished:
        world.finish(sending, outcome)

    assert world.payment(customer).state == "CAPTURED"
    # For a whole batch, the database's clock with the lock of the catalog is one statement; dated
    # changes, those of items, items, coupons and credit that are held are one each. One looks for
    # the last usage of subscriptions that ended.
    assert within(opened, 20)
    assert within(dispatched, 1)
    assert within(begun, 3)
    assert within(finished, 11)


def test_a_refund_takes_few_statements(world: World) -> None:
    payment = world.payment(paid(world))
    context = world.context()

    with statements(world) as asked_first:
        give_back(world, payment.id, usd(100))
    world.settle()
    with statements(world) as asked:
        refund_id = give_back(world, payment.id, usd(1000))
    with statements(world) as dispatched:
        assert world.dispatch_refunds() == [refund_id]
    with statements(world) as begun:
        sending = refund_sending.begin(context, refund_id)
    assert sending is not None
    answer = refund_sending.attempt(context, sending)
    with statements(world) as finished:
        refund_sending.finish(context, sending, answer)

    assert refund_row(world, refund_id).state == "succeeded"
    # What it takes of each line is written. For the first one its accounts are opened.
    assert within(asked_first, 13)
    assert within(asked, 11)
    assert within(dispatched, 1)
    assert within(begun, 3)  # one reads the caller's request, which goes along to the provider
    assert within(finished, 8)


def test_what_a_refund_event_says_that_is_known(world: World) -> None:
    refund_id = give_back(world, world.payment(paid(world)).id)
    world.settle()
    refund = refund_row(world, refund_id)

    assert refund.provider_refund_id is not None
    with statements(world) as applied:
        assert apply_events_of_refund(world, refund.provider_refund_id) == "succeeded"
    told = ProviderEvent(
        id="evt_again",
        type="refund.updated",
        kind=EventKind.REFUND_UPDATED,
        object_type="refund",
        object_id=refund.provider_refund_id,
        created=world.now,
        payload={},
    )
    context = world.runtime.context
    with statements(world) as received:
        inbox.receive(world.engine, world.provider, [told], source="webhook", wall=world.wall)
    with statements(world) as handled:
        (result,) = handling.handle_due(context)

    assert not result.failed
    assert refund_row(world, refund_id) == refund
    assert within(applied, 3)
    assert within(received, 1)
    assert within(handled, 7)  # one asks for the test clock
