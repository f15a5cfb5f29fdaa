"""Settlement of money that leaves: refunds and disputes, also across currencies."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from billing.flows import settle_close
from billing.store import fx
from tests.scenarios.money import (
    decide,
    fail_at_provider,
    give_back,
    hear_of_dispute,
    hear_of_refund,
    open_dispute,
    paid,
    payment_row,
    refund_row,
    settings,
    usd,
)
from tests.scenarios.world import World


def kinds(world: World) -> list[str]:
    return sorted(row.kind for row in world.breaks())


def tie_out(world: World) -> dict[str, int]:
    """Return what is unexplained, by currency."""
    with world.engine.connect() as conn:
        lines = settle_close.compare_balances(conn, world.gateway.balance())
    return {line.currency: line.unexplained for line in lines}


def in_euro(world: World) -> None:
    settings(world, settlement_currency={"usd": "eur"}, exchange_rates={"usd:eur": "0.8731"})


def outcomes(world: World) -> list[tuple[str, str]]:
    with world.engine.connect() as conn:
        rows = conn.execute(
            text("SELECT category, outcome FROM settlement_rows ORDER BY created, category")
        )
        return [(row.category, row.outcome) for row in rows]


def test_a_refund_before_its_settlement_settles_the_payment_all_the_same(world: World) -> None:
    payment = world.payment(paid(world))
    give_back(world, payment.id)
    world.settle()
    assert payment_row(world, payment.id).state == "REFUNDED"

    world.close_books()

    row = payment_row(world, payment.id)
    assert (row.state, row.settled_at) == ("REFUNDED", world.now)
    assert outcomes(world) == [("charge", "matched"), ("refund", "matched")]
    world.assert_everything_adds_up()


def test_a_refund_is_exchanged_back_at_the_rate_of_then(world: World) -> None:
    in_euro(world)
    payment = world.payment(paid(world))
    world.close_books()

    give_back(world, payment.id, usd(1000))
    world.settle()
    world.close_books()

    with world.engine.connect() as conn:
        there, back = fx.of_payment(conn, payment.id)
    assert (there.from_currency, there.to_currency) == ("USD", "EUR")
    assert (back.from_currency, back.to_currency, back.to_amount) == ("EUR", "USD", 1000)
    assert there.rate == back.rate
    assert set(tie_out(world).values()) == {0}
    assert kinds(world) == []


def test_a_refund_that_failed_after_it_succeeded_comes_back(world: World) -> None:
    payment = world.payment(paid(world))
    asked = give_back(world, payment.id)
    world.settle()
    world.close_books()

    fail_at_provider(world, asked)
    hear_of_refund(world, str(refund_row(world, asked).provider_refund_id))
    world.close_books()

    assert payment_row(world, payment.id).state == "SETTLED", "where it was"
    assert ("refund_failure", "matched") in outcomes(world)
    world.assert_everything_adds_up()


def test_a_refund_made_behind_our_back_is_a_break_until_it_is_heard_of(world: World) -> None:
    payment = world.payment(paid(world))
    world.close_books()
    made = world.psp.post("refunds", payment_intent=payment.provider_payment_id, amount="700")
    world.close_books()
    assert kinds(world) == [], "its notice may be on its way"

    world.jump_to(f"{world.now + timedelta(hours=2):%Y-%m-%d %H:%M}")
    world.close_books()
    assert kinds(world) == ["refund_unknown"]
    (found,) = world.breaks()
    assert found.payment_id == payment.id
    assert found.provider["net"] == -700

    hear_of_refund(world, made["id"])
    world.close_books()
    assert kinds(world) == []
    world.assert_everything_adds_up()


def test_a_refund_of_which_no_money_left_is_a_break(world: World) -> None:
    payment = world.payment(paid(world))
    asked = give_back(world, payment.id, usd(500))
    world.settle()
    with world.engine.begin() as conn:
        conn.execute(text("UPDATE refunds SET provider_refund_id = 're_lost'"))

    world.jump_to("2026-01-03 12:00")
    world.close_books()

    assert kinds(world) == ["refund_missing"]
    assert any(row.ours.get("refund") == str(asked) for row in world.breaks())


@pytest.mark.parametrize("outcome", ["won", "lost"])
@pytest.mark.parametrize("exchange", [False, True])
def test_a_dispute_is_matched_when_it_is_known(world: World, outcome: str, exchange: bool) -> None:
    if exchange:
        in_euro(world)
    payment = world.payment(paid(world))
    world.close_books()

    dispute = open_dispute(world, payment.id)
    hear_of_dispute(world, dispute)
    world.close_books()
    assert ("dispute", "matched") in outcomes(world)
    assert set(tie_out(world).values()) == {0}

    decide(world, dispute, outcome)
    hear_of_dispute(world, dispute)
    world.close_books()
    assert set(tie_out(world).values()) == {0}
    assert kinds(world) == []
    assert world.entries("fx_event") == (2 + (outcome == "won")) * exchange


def test_a_dispute_nobody_told_us_of_is_a_break_until_it_is_heard_of(world: World) -> None:
    payment = world.payment(paid(world))
    world.close_books()
    dispute = open_dispute(world, payment.id)
    world.jump_to(f"{world.now + timedelta(hours=2):%Y-%m-%d %H:%M}")

    world.close_books()
    assert kinds(world) == ["dispute_unknown"]
    assert tie_out(world) == {"USD": 0}, "the break explains it"

    hear_of_dispute(world, dispute)
    world.close_books()
    assert kinds(world) == []
    assert tie_out(world) == {"USD": 0}
