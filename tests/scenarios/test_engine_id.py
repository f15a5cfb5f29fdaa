"""What the engine makes at a provider says which engine made it, so that several can share one."""

from uuid import UUID

from sqlalchemy import text

from billing.flows.refunds import sending
from billing.store.identity import engine_id
from tests.scenarios.money import give_back, paid, refund_row, usd
from tests.scenarios.world import World


def this_engine(world: World) -> str:
    with world.engine.connect() as conn:
        return str(engine_id(conn))


def forgotten(world: World, table: str, row_id: UUID) -> None:
    """Let a row be one of before engines had an id."""
    with world.engine.begin() as conn:
        conn.execute(text(f"UPDATE {table} SET engine_id = NULL WHERE id = :id"), {"id": row_id})


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


def test_a_refund_of_before_is_sent_again_as_it_was_sent(world: World) -> None:
    payment = world.payment(paid(world))
    asked = give_back(world, payment.id, usd(700))
    forgotten(world, "refunds", asked)
    dying = sending.begin(world.context(), asked)
    assert isinstance(dying, sending.RefundSend)
    assert "engine" not in dying.request.metadata
    sending.attempt(world.context(), dying)

    world.wait(world.policy.lease)
    world.settle()

    assert str(refund_row(world, asked).state) == "succeeded"
    world.assert_everything_adds_up()
