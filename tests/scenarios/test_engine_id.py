"""What the engine makes at a provider says which engine made it, so that several can share one."""

from uuid import UUID

import psycopg

from billing.flows.refunds import sending
from billing.store.identity import engine_id
from tests.scenarios.money import give_back, paid, refund_row, usd
from tests.scenarios.world import World


def this_engine(world: World) -> str:
    with world.engine.connect() as conn:
        return str(engine_id(conn))


def forgotten(db_url: str, table: str, row_id: UUID) -> None:
    """Let a row be one of before engines had an id, which no process may do."""
    with psycopg.connect(db_url) as owner:
        owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER keep_engine".encode())
        owner.execute(f"UPDATE {table} SET engine_id = NULL WHERE id = %s".encode(), (row_id,))
        owner.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER keep_engine".encode())


def test_customer_payment_and_refund_carry_the_id_of_their_engine(world: World) -> None:
    ada = paid(world)
    payment = world.payment(ada)
    asked = give_back(world, payment.id, usd(700))
    world.settle()

    charged = world.gateway.payment(str(payment.provider_payment_id))
    refunded = world.gateway.refund_by_id(str(refund_row(world, asked).provider_refund_id))

    assert charged is not None
    assert refunded is not None
    assert charged.metadata["engine"] == refunded.metadata["engine"] == this_engine(world)
    assert world.psp.customer(ada)["metadata"]["engine"] == this_engine(world)


def test_a_refund_of_before_is_sent_again_as_it_was_sent(world: World, db_url: str) -> None:
    payment = world.payment(paid(world))
    asked = give_back(world, payment.id, usd(700))
    forgotten(db_url, "refunds", asked)
    dying = sending.begin(world.context(), asked)
    assert isinstance(dying, sending.RefundSend)
    assert "engine" not in dying.request.metadata
    sending.attempt(world.context(), dying)

    world.wait(world.policy.lease)
    world.settle()

    assert str(refund_row(world, asked).state) == "succeeded"
    world.assert_everything_adds_up()
