"""Settlement of money that leaves: refunds and disputes, also across currencies."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from billing.errors import Unavailable
from billing.flows.breaks import operator
from billing.flows.refunds import refund_updates
from billing.flows.settlement import runs
from billing.flows.settlement import tie_out as settle_close
from billing.gateway import BalanceTransaction
from billing.rules.actor import Actor, ActorKind
from billing.rules.money import Money
from billing.store.settlement import exchanges
from tests.scenarios.money import (
    NO_TRIAL,
    apply_events_of_dispute,
    apply_events_of_refund,
    balances,
    decide,
    fail_at_provider,
    give_back,
    one_off,
    open_dispute,
    paid,
    payment_row,
    refund_row,
    settings,
    usd,
)
from tests.scenarios.world import World, only_account
from tests.waiting import PATIENCE


def kinds(world: World) -> list[str]:
    return sorted(row.kind for row in world.breaks())


def tie_out(world: World) -> dict[str, int]:
    """Return what is unexplained, by currency."""
    with world.engine.connect() as conn:
        lines = settle_close.compare_balances(conn, "stripe", world.gateway.balance())
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
        there, back = exchanges.of_payment(conn, payment.id)
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
    apply_events_of_refund(world, str(refund_row(world, asked).provider_refund_id))
    world.close_books()

    assert payment_row(world, payment.id).state == "SETTLED", "where it was"
    assert ("refund_failure", "matched") in outcomes(world)
    world.assert_everything_adds_up()


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("later", [timedelta(0), timedelta(days=3)])
def test_the_night_fetches_a_refund_that_failed_without_a_word(
    world: World, whole: bool, later: timedelta
) -> None:
    payment = world.payment(paid(world))
    asked = give_back(world, payment.id, None if whole else usd(500))
    world.settle()
    world.close_books()
    world.jump_to(f"{world.now + timedelta(hours=2):%Y-%m-%d %H:%M}")
    fail_at_provider(world, asked)

    world.jump_to(f"{world.now + later:%Y-%m-%d %H:%M}")
    world.close_books()

    refund = refund_row(world, asked)
    assert (refund.state, refund.failure_reason) == ("failed", "declined")
    assert payment_row(world, payment.id).amount_refunded == 0
    assert ("refund_failure", "matched") in outcomes(world)
    assert kinds(world) == []
    assert tie_out(world) == {"USD": 0}
    world.assert_everything_adds_up()
    give_back(world, payment.id)


def test_a_refund_that_cant_be_fetched_is_a_break_and_asked_about_again(world: World) -> None:
    payment = world.payment(paid(world))
    asked = give_back(world, payment.id)
    world.settle()
    world.close_books()
    fail_at_provider(world, asked)
    world.jump_to(f"{world.now + timedelta(hours=2):%Y-%m-%d %H:%M}")

    done = settle_with(world, _NoAnswers(world.gateway))

    assert (done.error, kinds(world)) == (None, ["refund_mismatch"])
    world.close_books()
    assert kinds(world) == []
    world.assert_everything_adds_up()


class _NoAnswers:
    """A provider that lists what moved, and tells nothing of a refund."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def refund_by_id(self, provider_refund_id: str) -> Any:
        raise Unavailable(f"no answer about {provider_refund_id}")


def test_a_refund_made_behind_our_back_is_a_break_until_it_is_heard_of(world: World) -> None:
    payment = world.payment(paid(world))
    world.close_books()
    made = world.psp.post("refunds", payment_intent=str(payment.provider_payment_id), amount="700")
    world.close_books()
    assert kinds(world) == [], "its notice may be on its way"

    world.jump_to(f"{world.now + timedelta(hours=2):%Y-%m-%d %H:%M}")
    world.close_books()
    assert kinds(world) == ["refund_unknown"]
    (found,) = world.breaks()
    assert found.payment_id == payment.id
    assert found.theirs["net"] == -700

    apply_events_of_refund(world, made["id"])
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
    apply_events_of_dispute(world, dispute)
    world.close_books()
    assert ("dispute", "matched") in outcomes(world)
    assert set(tie_out(world).values()) == {0}

    decide(world, dispute, outcome)
    apply_events_of_dispute(world, dispute)
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

    apply_events_of_dispute(world, dispute)
    world.close_books()
    assert kinds(world) == []
    assert tie_out(world) == {"USD": 0}


def nightly(world: World, *days: str) -> None:
    """Close the books once a night, as the reconciler does."""
    for day in days:
        world.jump_to(f"2026-01-{day} 00:05")
        world.close_books()


def test_a_refund_of_which_no_money_left_is_found_by_nightly_runs_too(world: World) -> None:
    payment = world.payment(paid(world))
    world.close_books()
    world.jump_to("2026-01-01 12:00")
    give_back(world, payment.id, usd(500))
    world.settle()
    with world.engine.begin() as conn:
        conn.execute(text("UPDATE refunds SET provider_refund_id = 're_lost'"))

    nightly(world, "02", "03", "04")

    assert "refund_missing" in kinds(world)


@pytest.mark.parametrize("adjusted", [True, False])
def test_a_missing_refund_that_a_person_resolved_is_counted_once_in_the_tie_out(
    world: World, adjusted: bool
) -> None:
    payment = world.payment(paid(world))
    world.close_books()
    give_back(world, payment.id, usd(500))
    world.settle()
    nothing_left = _NeverRefunded(world.gateway)
    for day in ("02", "03", "04"):
        world.jump_to(f"2026-01-{day} 00:05")
        settle_with(world, nothing_left)
    (found,) = world.breaks()
    assert found.kind == "refund_missing"
    with world.engine.connect() as conn:
        suggested = operator.preview(conn, found.id, None).suggested
    assert suggested == usd(500)

    operator.resolve(
        world.engine,
        found.id,
        reason="paid back by bank transfer",
        adjustment=suggested if adjusted else None,
        now=world.now,
        actor=Actor(ActorKind.CLI, "ann"),
    )

    for _ in range(2):
        settle_with(world, nothing_left)
    assert kinds(world) == []
    with world.engine.connect() as conn:
        (line,) = settle_close.compare_balances(conn, "stripe", nothing_left.balance())
    assert line.unexplained == 0


def settle_with(world: World, gateway: Any) -> runs.Worked:
    run_id = runs.begin(world.engine, world.provider, now=world.now)
    assert run_id is not None
    return runs.work(run_id, replace(world.runtime.context, gateways=only_account(gateway)))


class _NeverRefunded:
    """A provider whose balance never saw a refund."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def list_balance_transactions(self, **given: Any) -> Any:
        for page in self._real.list_balance_transactions(**given):
            yield [row for row in page if row.category != "refund"]

    def balance(self) -> dict[str, int]:
        return {code: amount + 500 for code, amount in self._real.balance().items()}


def test_what_a_dispute_moved_is_matched_only_when_it_is_booked(world: World) -> None:
    payment = world.payment(paid(world))
    world.close_books()
    dispute = open_dispute(world, payment.id)
    apply_events_of_dispute(world, dispute)
    world.close_books()

    decide(world, dispute, "won")
    world.close_books()
    assert ("dispute_reversal", "waiting") in outcomes(world), "its notice may be on its way"
    assert tie_out(world) == {"USD": 0}, "what waits explains the balance"

    world.jump_to(f"{world.now + timedelta(hours=2):%Y-%m-%d %H:%M}")
    world.close_books()
    assert kinds(world) == ["dispute_mismatch"]

    apply_events_of_dispute(world, dispute)
    world.close_books()
    assert kinds(world) == []
    assert ("dispute_reversal", "matched") in outcomes(world)
    assert tie_out(world) == {"USD": 0}


def test_a_dispute_of_a_charge_that_is_not_ours_is_never_matched(world: World) -> None:
    paid(world)
    world.psp.take_money(700)
    stranger = world.psp._http.get(f"{world.psp._url}/v1/charges", timeout=PATIENCE).json()["data"][
        0
    ]
    made = world.psp._control("POST", "disputes", charge=stranger["id"])
    apply_events_of_dispute(world, str(made["id"]))
    world.jump_to(f"{world.now + timedelta(hours=2):%Y-%m-%d %H:%M}")

    world.close_books()
    world.close_books()

    assert kinds(world) == ["dispute_unknown", "unknown_at_provider"]
    assert ("dispute", "dispute_unknown") in outcomes(world)
    assert tie_out(world) == {"USD": 0}, "the breaks explain it"


def test_a_refund_that_failed_here_and_left_the_balance_there_is_a_break(world: World) -> None:
    payment = world.payment(paid(world))
    world.close_books()
    asked = give_back(world, payment.id, usd(500))
    world.settle()
    world.jump_to(f"{world.now + timedelta(hours=2):%Y-%m-%d %H:%M}")
    fail_at_provider(world, asked)
    apply_events_of_refund(world, str(refund_row(world, asked).provider_refund_id))

    settle_with(world, _KeepsFailures(world.gateway))
    assert kinds(world) == ["refund_mismatch"]

    world.close_books()
    assert kinds(world) == []
    world.assert_everything_adds_up()


class _KeepsFailures(_NeverRefunded):
    """A provider that doesn't give back what a failed refund took."""

    def list_balance_transactions(self, **given: Any) -> Any:
        for page in self._real.list_balance_transactions(**given):
            yield [row for row in page if row.category != "refund_failure"]

    def balance(self) -> dict[str, int]:
        return {code: amount - 500 for code, amount in self._real.balance().items()}


@pytest.mark.parametrize("category", ["refund", "partial_capture_reversal"])
@pytest.mark.parametrize("heard_first", [True, False])
def test_a_refund_of_another_amount_is_one_break_whoever_sees_it_first(
    world: World, category: str, heard_first: bool
) -> None:
    payment = world.payment(paid(world))
    world.close_books()
    asked = give_back(world, payment.id, usd(500))
    world.settle()
    heard = world.gateway.refund_by_id(str(refund_row(world, asked).provider_refund_id))
    assert heard is not None
    other = replace(heard, amount=usd(501))

    def hear() -> None:
        with world.engine.begin() as conn:
            refund_updates.apply(conn, other, provider="stripe", now=world.now)

    if heard_first:
        hear()
    settle_with(world, _RefundsOtherwise(world.gateway, category))
    if not heard_first:
        hear()

    assert outcomes(world)[-1] == (category, "refund_mismatch")
    (found,) = world.breaks()
    assert found.dedupe_key == f"refund_mismatch:{asked}"
    assert (found.ours["refund"], found.ours["amount"]) == (str(asked), -500)
    assert (found.theirs["category"], found.theirs["amount"]) == (category, -501)


class _RefundsOtherwise(_NeverRefunded):
    """A provider that shows refunds of a category, with one more minor unit than it was asked."""

    def __init__(self, real: Any, category: str) -> None:
        super().__init__(real)
        self._category = category

    def list_balance_transactions(self, **given: Any) -> Any:
        for page in self._real.list_balance_transactions(**given):
            yield [self._otherwise(row) if row.category == "refund" else row for row in page]

    def _otherwise(self, row: BalanceTransaction) -> BalanceTransaction:
        return replace(
            row,
            category=self._category,
            amount=row.amount - 1,
            net=row.net - 1,
            customer_money=None,
        )


def resolve(world: World, adjustment: Money | None) -> operator.Resolution:
    (found,) = world.breaks()
    return operator.resolve(
        world.engine,
        found.id,
        reason="looked at",
        adjustment=adjustment,
        now=world.now,
        actor=Actor(ActorKind.CLI, "ann"),
    )


def suggested(world: World) -> Money | None:
    (found,) = world.breaks()
    with world.engine.connect() as conn:
        return operator.preview(conn, found.id, None).suggested


@pytest.mark.parametrize("adjusted", [True, False])
def test_a_failed_refund_that_is_never_given_back_can_be_accepted(
    world: World, adjusted: bool
) -> None:
    payment = world.payment(paid(world))
    world.close_books()
    asked = give_back(world, payment.id, usd(500))
    world.settle()
    world.jump_to(f"{world.now + timedelta(hours=2):%Y-%m-%d %H:%M}")
    fail_at_provider(world, asked)
    apply_events_of_refund(world, str(refund_row(world, asked).provider_refund_id))
    kept = _KeepsFailures(world.gateway)
    settle_with(world, kept)
    assert suggested(world) == usd(-500)

    resolve(world, suggested(world) if adjusted else None)

    settle_with(world, kept)
    settle_with(world, kept)
    assert kinds(world) == []
    with world.engine.connect() as conn:
        (line,) = settle_close.compare_balances(conn, "stripe", kept.balance())
    assert line.unexplained == 0


@pytest.mark.parametrize("exchange", [False, True])
@pytest.mark.parametrize("adjusted", [True, False])
def test_a_charge_in_another_currency_than_ours_can_be_resolved(
    world: World, exchange: bool, adjusted: bool
) -> None:
    if exchange:
        in_euro(world)
    payment = world.payment(paid(world))
    settle_with(world, _InAnotherCurrency(world.gateway))
    assert kinds(world) == ["currency_mismatch"]
    assert tie_out(world)["USD"] == 0

    resolve(world, suggested(world) if adjusted else None)

    world.close_books()
    world.close_books()
    assert kinds(world) == []
    assert set(tie_out(world).values()) == {0}
    assert payment_row(world, payment.id).state == "SETTLED"


class _InAnotherCurrency(_NeverRefunded):
    """A provider that charged the customer in another currency than we asked it to."""

    def list_balance_transactions(self, **given: Any) -> Any:
        for page in self._real.list_balance_transactions(**given):
            yield [replace(row, customer_money=Money(4_000, "CAD")) for row in page]


def test_several_refunds_at_other_rates_leave_the_difference_in_the_position(
    world: World,
) -> None:
    in_euro(world)
    payment = world.payment(paid(world))
    world.close_books()
    for rate, amount in (("0.9", 1000), ("0.81", 1100), ("0.95", 1000)):
        settings(world, exchange_rates={"usd:eur": rate})
        give_back(world, payment.id, usd(amount))
        world.settle()
        world.close_books()

    assert payment_row(world, payment.id).state == "REFUNDED"
    assert set(tie_out(world).values()) == {0}
    books = balances(world, "EUR")
    assert books["fx_position"] == -2707 + 900 + 891 + 950, "what the rates cost"
    assert balances(world, "USD").get("fx_position", 0) == 0
    assert balances(world, "USD").get("psp_clearing", 0) == 0
    assert kinds(world) == []
    world.assert_promises_hold()


def test_a_dispute_before_the_capture_is_settled_ties_out(world: World) -> None:
    in_euro(world)
    payment = world.payment(paid(world))
    dispute = open_dispute(world, payment.id)
    apply_events_of_dispute(world, dispute)
    settings(world, exchange_rates={"usd:eur": "0.95"})
    decide(world, dispute, "lost")
    apply_events_of_dispute(world, dispute)

    world.close_books()

    assert set(tie_out(world).values()) == {0}
    assert kinds(world) == []
    assert world.entries("dispute_lost") == 1
    world.assert_promises_hold()


def test_a_refund_at_the_provider_of_a_charge_we_had_given_up_adds_up(world: World) -> None:
    world.publish(NO_TRIAL)
    customer = world.subscribed("monthly", card="pm_sbx_stolen_card")
    world.run_until("2026-01-02")
    intent = world.payment(customer).provider_payment_id
    card = world.psp.post(
        "payment_methods/pm_card_visa/attach", customer=customer.provider_customer_id
    )
    world.psp.post(
        f"payment_intents/{intent}/confirm", payment_method=card["id"], off_session="true"
    )
    made = world.psp.post("refunds", payment_intent=str(intent), amount="700")
    apply_events_of_refund(world, made["id"])

    world.close_books()
    apply_events_of_refund(world, made["id"])
    world.close_books()

    assert kinds(world) == []
    assert payment_row(world, world.payment(customer).id).amount_refunded == 700
    world.assert_everything_adds_up()


def test_a_dispute_lost_of_a_charge_we_had_given_up_adds_up(world: World) -> None:
    world.publish(NO_TRIAL)
    customer = world.subscribed("monthly", card="pm_sbx_stolen_card")
    world.run_until("2026-01-02")
    payment = world.payment(customer)
    card = world.psp.post(
        "payment_methods/pm_card_visa/attach", customer=customer.provider_customer_id
    )
    world.psp.post(
        f"payment_intents/{payment.provider_payment_id}/confirm",
        payment_method=card["id"],
        off_session="true",
    )
    dispute = open_dispute(world, payment.id)
    decide(world, dispute, "lost")
    apply_events_of_dispute(world, dispute)

    world.close_books()
    world.close_books()

    assert balances(world).get("deferred_revenue", 0) == 0
    assert set(tie_out(world).values()) == {0}
    world.assert_promises_hold()


def test_three_and_no_decimals_settle_refund_and_dispute_to_the_unit(world: World) -> None:
    for money in (Money(12_340, "KWD"), Money(3_100, "JPY")):
        payment_id = one_off(world, money)
        world.settle()
        give_back(world, payment_id, Money(1_000, money.currency))
        world.settle()
        world.close_books()
        dispute = open_dispute(world, payment_id)
        apply_events_of_dispute(world, dispute)
        decide(world, dispute, "lost")
        apply_events_of_dispute(world, dispute)
        world.close_books()

    assert set(tie_out(world).values()) == {0}
    world.assert_promises_hold()
