"""Customers who pay over two providers, and payments that go from one to the other."""

from datetime import date, timedelta
from typing import Any

import braintree
import pytest
from sqlalchemy import text

from billing.flows.customers import customers, moving
from billing.flows.subscriptions import naming, releasing
from billing.gateway import ProviderPayment
from billing.rules.actor import Actor, ActorKind
from billing.rules.moving import Follows
from billing.rules.payments import CallKind, PaymentStatus
from billing.store.payments.provider_calls import call_of
from billing.store.subscriptions import customers as stored
from tests.scenarios.money import give_back
from tests.scenarios.world import Subscriber, Till, World

CARD, WALLET, DECLINED = "stripe", "braintree", "pm_card_chargeCustomerFail"
PAYPAL = "fake-paypal-billing-agreement-nonce"
PERSON = Actor(ActorKind.CLI, "operator")


def give_wallet(
    world: World, subscriber: Subscriber, token: str = PAYPAL, *, make_default: bool = True
) -> int:
    """Give a payment method at the other provider; return how many payments are tried again."""
    _, retried = customers.set_payment_method(
        world.context(), subscriber.customer, token, provider=WALLET, make_default=make_default
    )
    return retried


def till(world: World) -> Till:
    other = world.psps[WALLET]
    assert isinstance(other, Till)
    return other


def taken(world: World, subscriber: Subscriber) -> tuple[int, int]:
    """Return how often money was taken from a customer at the first provider, and at the second."""
    return world.psp.captures(subscriber), till(world).sold()


def tried_at(world: World, subscriber: Subscriber) -> list[tuple[str, str]]:
    """Return where each attempt of a payment was made, and what it came to."""
    payment_id = world.payment(subscriber).id
    with world.engine.connect() as conn:
        rows = conn.execute(
            text(
                "SELECT provider, coalesce(outcome, 'open') AS outcome FROM provider_calls"
                " WHERE subject_id = :id AND kind = 'charge' ORDER BY n"
            ),
            {"id": payment_id},
        )
        return [(row.provider, row.outcome) for row in rows]


def cancels(world: World, subscriber: Subscriber) -> list[tuple[str, str | None, int]]:
    """Return the calls that canceled what a payment left at an account."""
    with world.engine.connect() as conn:
        rows = conn.execute(
            text("SELECT * FROM provider_calls WHERE subject_id = :id AND kind = :kind ORDER BY n"),
            {"id": world.payment(subscriber).id, "kind": CallKind.CANCEL},
        )
        found = [call_of(row) for row in rows]
    return [(call.provider, call.outcome, call.sends) for call in found]


def at_first(world: World, provider_payment_id: str) -> ProviderPayment:
    found = world.gateways.of(CARD).payment(provider_payment_id)
    assert found is not None
    return found


def move(world: World, subscriber: Subscriber, token: str | None = None, to: str = WALLET) -> int:
    return moving.move(
        world.context(), subscriber.customer, to, token=token, actor=PERSON, why="we leave"
    )


def refused_card(world: World) -> Subscriber:
    """Return who was declined at the first provider, and waits on the ladder."""
    subscriber = world.subscribed("video-premium", DECLINED)
    assert world.settle()
    assert tried_at(world, subscriber) == [(CARD, "declined")]
    return subscriber


# --- where a customer is, and where a payment goes ------------------------------------------------


def test_a_subscription_that_names_an_account_is_collected_there_and_others_at_the_customers(
    both: World,
) -> None:
    here = both.subscribed("video-premium")
    give_wallet(both, here, make_default=False)
    there = both.subscribe(
        here.customer_id, here.provider_customer_id, "video-basic", trial=False, provider=WALLET
    )
    both.run_until("2026-02-02")

    assert [each.provider for each in both.payments(here)] == [CARD, CARD]
    assert [each.provider for each in both.payments(there)] == [WALLET, WALLET]
    assert taken(both, here) == (2, 2)
    with both.engine.connect() as conn:
        at = {each.provider: each for each in stored.accounts_of(conn, here.customer_id)}
        methods = {
            each.id: each.provider for each in stored.payment_methods_of(conn, here.customer_id)
        }
    assert set(at) == {CARD, WALLET}
    charged = {name: each.payment_method_id for name, each in at.items()}
    assert {name: methods[method] for name, method in charged.items() if method} == {
        CARD: CARD,
        WALLET: WALLET,
    }
    both.run_until("2026-02-06")
    both.assert_everything_adds_up()


def test_the_default_follows_the_payment_method_that_was_given_last(both: World) -> None:
    subscriber = both.subscribed("video-premium")
    assert both.settle()

    give_wallet(both, subscriber)
    both.run_until("2026-02-02")
    both.new_card(
        subscriber, "fake-valid-visa-nonce"
    )  # at the account that collects now, which is the second one
    both.run_until("2026-03-02")

    both.close_books()
    assert [each.provider for each in both.payments(subscriber)] == [CARD, WALLET, WALLET]
    both.assert_promises_hold()


def test_a_named_account_without_a_payment_method_is_like_a_missing_card(both: World) -> None:
    here = both.subscribed("video-premium")
    give_wallet(both, here, make_default=False)
    there = both.subscribe(
        here.customer_id, here.provider_customer_id, "video-basic", trial=False, provider=WALLET
    )
    with both.engine.begin() as conn:
        stored.set_default(conn, here.customer_id, WALLET, None)
    assert both.settle()

    payment = both.payment(there)
    assert (payment.state, payment.provider, payment.attempt_n) == ("CREATED", WALLET, 0)
    assert payment.decline_class == "needs_customer"
    assert both.payment(here).state == "CAPTURED"

    assert give_wallet(both, here, make_default=False) == 1
    assert both.settle()
    assert both.payment(there).state == "CAPTURED"
    both.assert_promises_hold()


# --- a payment goes to the other provider ---------------------------------------------------------


def test_a_declined_payment_follows_the_customer_and_what_it_left_is_canceled_first(
    both: World,
) -> None:
    subscriber = refused_card(both)
    left = both.payment(subscriber).provider_payment_id
    assert left is not None

    assert give_wallet(both, subscriber) == 1
    assert both.settle()

    payment = both.payment(subscriber)
    assert (payment.state, payment.provider) == ("CAPTURED", WALLET)
    assert payment.provider_payment_id not in (None, left)
    assert tried_at(both, subscriber) == [(CARD, "declined"), (WALLET, "succeeded")]
    assert cancels(both, subscriber) == [(CARD, "succeeded", 1)]
    assert at_first(both, left).status is PaymentStatus.CANCELED
    assert taken(both, subscriber) == (0, 1)
    both.run_until("2026-01-07")
    both.assert_everything_adds_up()


def test_a_payment_comes_back_from_a_provider_that_holds_nothing_without_a_call(
    both: World,
) -> None:
    customer_id, there = both.customer("sbx_card_insufficient", provider=WALLET)
    subscriber = both.subscribe(customer_id, there, "video-premium")
    assert both.settle()
    assert tried_at(both, subscriber) == [(WALLET, "declined")]

    customers.set_payment_method(both.context(), subscriber.customer, "pm_card_visa", provider=CARD)
    assert both.settle()

    assert tried_at(both, subscriber) == [(WALLET, "declined"), (CARD, "succeeded")]
    assert cancels(both, subscriber) == []
    assert both.payment(subscriber).provider == CARD
    both.assert_everything_adds_up()


def test_a_cancellation_whose_answer_is_lost_is_asked_again_before_the_other_provider_is_tried(
    both: World,
) -> None:
    subscriber = refused_card(both)
    both.psp._control(
        "POST",
        "faults",
        kind="error_500_uncommitted",
        times=3,
        match={"path": f"/v1/payment_intents/{both.payment(subscriber).provider_payment_id}"},
    )
    give_wallet(both, subscriber)
    (payment_id,) = both.dispatch()
    both.charge(payment_id)

    assert cancels(both, subscriber) == [(CARD, None, 1)]
    assert tried_at(both, subscriber) == [(CARD, "declined")]
    assert till(both).sold() == 0
    both.psp.heal()
    assert both.settle()

    assert cancels(both, subscriber) == [(CARD, "succeeded", 2)]
    assert taken(both, subscriber) == (0, 1)
    both.assert_promises_hold()


def test_what_its_customer_paid_at_the_first_provider_meanwhile_is_not_charged_at_the_other(
    both: World,
) -> None:
    subscriber = refused_card(both)
    left = both.payment(subscriber).provider_payment_id
    good = both.psp.post(
        "payment_methods/pm_card_visa/attach", customer=subscriber.provider_customer_id
    )
    both.psp.post(f"payment_intents/{left}/confirm", payment_method=good["id"])
    give_wallet(both, subscriber)
    assert both.settle()

    payment = both.payment(subscriber)
    assert (payment.state, payment.provider, payment.provider_payment_id) == (
        "CAPTURED",
        CARD,
        left,
    )
    assert cancels(both, subscriber) == [(CARD, "absent", 1)]
    assert taken(both, subscriber) == (1, 0)
    both.assert_everything_adds_up()


def test_a_cancellation_that_is_refused_parks_the_payment_and_is_tried_again_once_released(
    both: World,
) -> None:
    subscriber = refused_card(both)
    payment = both.payment(subscriber)
    unknown = "UPDATE payments SET provider_payment_id = :theirs WHERE id = :id"
    with both.engine.begin() as conn:
        conn.execute(text(unknown), {"theirs": "pi_of_nobody", "id": payment.id})
    give_wallet(both, subscriber)
    assert both.settle()

    assert cancels(both, subscriber) == [(CARD, "rejected", 1)]
    assert both.payment(subscriber).parked_reason == "rejected"
    assert taken(both, subscriber) == (0, 0)

    with both.engine.begin() as conn:
        theirs = {"theirs": payment.provider_payment_id, "id": payment.id}
        conn.execute(text(unknown), theirs)
    releasing.release_payment(both.engine, payment.id, now=both.now)
    assert both.settle()
    assert cancels(both, subscriber) == [(CARD, "rejected", 1), (CARD, "succeeded", 1)]
    assert taken(both, subscriber) == (0, 1)
    both.assert_promises_hold()


# --- an outcome that is unknown ------------------------------------------------------------------


@pytest.mark.parametrize("made", [True, False], ids=["it was made", "it was not made"])
def test_a_payment_whose_outcome_is_unknown_is_tried_at_no_other_provider(
    both: World, made: bool
) -> None:
    subscriber = both.subscribed("video-premium")
    both.open()
    both.psp.fault("hang_after_commit" if made else "hang_before", delay_ms=1500)
    (payment_id,) = both.dispatch()
    with both.impatient():
        both.charge(payment_id)
    both.psp._control(
        "POST", "faults", kind="error_500_uncommitted", times=1000, match={"path": "/v1/payment"}
    )
    assert tried_at(both, subscriber) == [(CARD, "open")]

    assert give_wallet(both, subscriber) == 0
    for _ in range(4):
        both.wait(both.policy.unknown_backoff_max)
        both.tick()
    assert tried_at(both, subscriber) == [(CARD, "open")]
    assert till(both).sold() == 0

    both.jump_to("2026-01-03")  # its key is forgotten: only a look-up tells
    both.psp.heal()
    both.wait(both.policy.unknown_backoff_max)
    assert both.settle()

    ends = [(CARD, "succeeded")] if made else [(CARD, "absent"), (WALLET, "succeeded")]
    assert tried_at(both, subscriber) == ends
    assert taken(both, subscriber) == ((1, 0) if made else (0, 1))
    both.run_until("2026-01-10")
    both.assert_everything_adds_up()


def test_a_lost_answer_is_resolved_in_the_way_that_each_provider_allows(both: World) -> None:
    """Two days later one key is forgotten, and its charge is looked up; the other tells it."""
    here = both.subscribed("video-premium")
    customer_id, id_there = both.customer(PAYPAL, provider=WALLET)
    there = both.subscribe(customer_id, id_there, "video-premium")
    both.open()
    both.psp.lose_next_answer(after_commit=True)
    till(both).lose_next_answer(after_commit=True)
    for payment_id in both.dispatch():
        both.charge(payment_id)
    assert [tried_at(both, each) for each in (here, there)] == [
        [(CARD, "open")],
        [(WALLET, "open")],
    ]

    asked: dict[str, list[str]] = {CARD: [], WALLET: []}
    both.jump_to("2026-01-03")
    both.wait(timedelta(days=2))
    for payment_id in both.dispatch():
        sending = both.begin(payment_id)
        assert sending is not None
        gateway = Asked(both.gateways.of(sending.provider), asked[sending.provider])
        both.gateways._connected[sending.provider] = gateway
        both.finish(sending, both.send(sending))

    assert asked == {CARD: ["look_up"], WALLET: ["charge"]}
    assert [tried_at(both, each) for each in (here, there)] == [
        [(CARD, "succeeded")],
        [(WALLET, "succeeded")],
    ]
    assert taken(both, here) == (1, 1)
    both.assert_promises_hold()


class Asked:
    """A gateway that notes what it is asked."""

    def __init__(self, gateway: Any, asked: list[str]) -> None:
        self._gateway, self._asked = gateway, asked

    def __getattr__(self, name: str) -> Any:
        if name in ("charge", "look_up"):
            self._asked.append(name)
        return getattr(self._gateway, name)


# --- moving --------------------------------------------------------------------------------------


def test_a_move_says_what_it_will_do_and_changes_nothing(both: World) -> None:
    subscriber = refused_card(both)
    named = both.subscribe(
        subscriber.customer_id,
        subscriber.provider_customer_id,
        "video-basic",
        trial=False,
        provider=CARD,
    )
    before = snapshot(both)

    planned = moving.plan(both.context(), subscriber.customer, WALLET, token=PAYPAL)

    assert snapshot(both) == before
    assert (planned.before, planned.to, planned.payment_method_id) == (CARD, WALLET, None)
    assert [(each.subscription_id, each.named) for each in planned.subscriptions] == [
        (subscriber.subscription_id, None),
        (named.subscription_id, CARD),
    ]
    assert [(each.provider, each.follows) for each in planned.payments] == [(CARD, Follows.NOW)]


def test_a_moved_customer_is_collected_at_the_other_provider_and_a_second_move_does_nothing(
    both: World,
) -> None:
    subscriber = refused_card(both)
    named = both.subscribe(
        subscriber.customer_id,
        subscriber.provider_customer_id,
        "video-basic",
        trial=False,
        provider=CARD,
    )

    assert move(both, subscriber, PAYPAL) == 1
    assert both.settle()
    assert move(both, subscriber) == 0
    both.run_until("2026-02-02")

    assert both.subscription(named).provider == WALLET
    assert "account_changed" in both.events(named)
    for each in (subscriber, named):
        assert {payment.provider for payment in both.payments(each)} == {WALLET}
        assert {str(payment.state) for payment in both.payments(each)} <= {"CAPTURED", "SETTLED"}
    planned = moving.plan(both.context(), subscriber.customer, WALLET, token=None)
    assert planned.payments == []
    both.close_books()
    both.assert_promises_hold()


def test_a_move_leaves_a_payment_whose_outcome_is_unknown_until_it_is_asked(both: World) -> None:
    subscriber = both.subscribed("video-premium")
    both.open()
    both.psp.lose_next_answer(after_commit=False)
    (payment_id,) = both.dispatch()
    both.charge(payment_id)

    planned = moving.plan(both.context(), subscriber.customer, WALLET, token=PAYPAL)
    assert [each.follows for each in planned.payments] == [Follows.OUTCOME_FIRST]
    assert move(both, subscriber, PAYPAL) == 0
    both.run_until("2026-01-04")

    # The same key was sent again, so the first provider made the charge after all.
    assert tried_at(both, subscriber) == [(CARD, "succeeded")]
    assert taken(both, subscriber) == (1, 0)
    both.close_books()
    both.assert_promises_hold()


def test_a_subscription_may_name_an_account_later_and_what_waits_is_due_there(
    both: World,
) -> None:
    subscriber = refused_card(both)
    give_wallet(both, subscriber, make_default=False)
    assert till(both).sold() == 0

    naming.name_account(
        both.engine, subscriber.reference, WALLET, now=both.now, actor=PERSON, why="PayPal"
    )
    assert both.settle()
    assert tried_at(both, subscriber) == [(CARD, "declined"), (WALLET, "succeeded")]

    naming.name_account(
        both.engine, subscriber.reference, None, now=both.now, actor=PERSON, why="no more"
    )
    assert both.subscription(subscriber).provider is None
    both.assert_promises_hold()


def snapshot(world: World) -> list[tuple[Any, ...]]:
    with world.engine.connect() as conn:
        rows = conn.execute(
            text(
                "SELECT 'payment', id::text, provider, next_attempt_at::text FROM payments"
                " UNION ALL SELECT 'customer', customer_id::text, provider,"
                " payment_method_id::text FROM provider_customers"
                " UNION ALL SELECT 'collects', id::text, provider, NULL FROM customers"
                " UNION ALL SELECT 'subscription', id::text, provider, NULL FROM subscriptions"
                " UNION ALL SELECT 'call', subject_id::text, provider, NULL FROM provider_calls"
                " ORDER BY 1, 2, 3"
            )
        )
        return [tuple(row) for row in rows]


# --- settlement -----------------------------------------------------------------------------------


@pytest.fixture
def late(both: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The second provider shows a day's movements only when it is over for two days."""
    gateway = type(both.gateways.of(WALLET))
    in_time = gateway._fees  # type: ignore[attr-defined]

    def fees(self: Any, on: date, account: str) -> Any:
        return None if on > (both.now - timedelta(days=2)).date() else in_time(self, on, account)

    monkeypatch.setattr(gateway, "_fees", fees)
    return both


@pytest.mark.usefixtures("late")
def test_what_a_provider_shows_days_late_is_settled_and_never_missing(both: World) -> None:
    subscriber = both.subscribed("video-premium")
    give_wallet(both, subscriber)
    for day in range(2, 13):
        both.run_until(f"2026-01-{day:02}")
        both.close_books()
        assert breaks_of(both) == []
    assert both.payment(subscriber).state == "SETTLED"

    give_back(both, both.payment(subscriber).id)
    for day in range(13, 26):
        both.run_until(f"2026-01-{day:02}")
        both.close_books()
        assert breaks_of(both) == []

    assert moved(both) == ["charge", "payout", "payout", "refund"]
    both.assert_promises_hold()


@pytest.mark.usefixtures("late")
def test_what_a_provider_shows_days_late_is_found_though_nothing_of_ours_waits_for_it(
    both: World,
) -> None:
    give_wallet(both, both.subscribed("video-premium"))
    nights(both, 2, 13)
    port = str(both.runtime.settings.providers[WALLET].api_base).rpartition(":")[2]
    local = braintree.Environment("", "127.0.0.1", port, "", False, None, "127.0.0.1", port)
    keys = (Till.MERCHANT, "public", "private")
    by_hand = braintree.BraintreeGateway(braintree.Configuration(local, *keys))
    sold = by_hand.transaction.sale({
        "amount": "7.00",
        "payment_method_nonce": "fake-valid-visa-nonce",
        "options": {"submit_for_settlement": True},
    })  # fmt: skip
    assert sold.is_success

    nights(both, 13, 26)

    assert moved(both) == ["charge", "payout", "payout"]
    assert breaks_of(both) == ["unknown_at_provider"]


def nights(world: World, first: int, last: int) -> None:
    """Let the nights of January from one day to another pass."""
    for day in range(first, last):
        world.run_until(f"2026-01-{day:02}")
        world.close_books()


def breaks_of(world: World) -> list[str]:
    with world.engine.connect() as conn:
        return list(conn.execute(text("SELECT kind FROM breaks")).scalars())


def moved(world: World) -> list[str]:
    """Return the kinds of the second provider's movements that are in the books."""
    with world.engine.connect() as conn:
        query = text(
            "SELECT kind FROM settlement_rows WHERE provider = :provider AND posted_at IS NOT NULL"
            " ORDER BY kind"
        )
        return list(conn.execute(query, {"provider": WALLET}).scalars())
