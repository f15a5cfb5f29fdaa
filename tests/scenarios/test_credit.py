"""Credit of customers: granted, used, expired, revoked and given back; never used twice."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from billing.errors import BadInput, BillingError, Conflict, ErrorCode, NotFound
from billing.flows.credit import expiring, granting, revoking
from billing.flows.credit.granting import GrantOrder
from billing.flows.cycles import crediting, opening
from billing.flows.invoices import buying
from billing.flows.invoices.buying import TopUpOrder
from billing.flows.subscriptions import lifecycle
from billing.ids import new_id
from billing.queries import credit as queries
from billing.rules.actor import Actor, ActorKind
from billing.rules.money import Money
from billing.store.payments import credit, top_ups
from tests.scenarios.test_facts import SMALL, left
from tests.scenarios.world import Subscriber, World, at

OPERATOR = Actor(ActorKind.CLI, "ada")


def grant(
    world: World, subscriber: Subscriber, amount: int, *, currency: str = "USD", **more: Any
) -> UUID:
    order = GrantOrder(subscriber.customer, amount, currency, "an outage", **more)
    return granting.grant(world.engine, order, now=world.now, actor=OPERATOR)


def bought(world: World, subscriber: Subscriber, amount: int, expires: datetime) -> UUID:
    """Let a customer buy credit and pay for it at once; nothing else is charged."""
    days = (expires - world.now).days
    order = TopUpOrder(subscriber.customer, amount, "USD", valid_days=days)
    with world.engine.begin() as conn:
        made = buying.buy(conn, order, new_id(), now=world.now, actor=OPERATOR, policy=world.policy)
    for payment_id in world.dispatch():
        world.charge(payment_id)
    with world.engine.connect() as conn:
        grant_id = top_ups.grant_of(conn, made.id)
    assert grant_id is not None
    return grant_id


def kinds(world: World, grant_id: UUID) -> list[str]:
    with world.engine.connect() as conn:
        return [str(move.kind) for move in queries.moves_of(conn, grant_id)]


def balance(world: World, code: str) -> int:
    """Return what an account has, debit positive, in dollars."""
    query = """SELECT coalesce(sum(p.amount), 0) FROM ledger.accounts a
                 JOIN ledger.postings p ON p.account_id = a.id
                WHERE a.code = :code AND a.currency = 'USD'"""
    with world.engine.connect() as conn:
        return int(conn.execute(text(query), {"code": code}).scalar_one())


def cancel(world: World, subscriber: Subscriber) -> None:
    lifecycle.cancel(
        world.engine, subscriber.reference,
        at_period_end=False, now=world.now, actor=OPERATOR, why="asked",
    )  # fmt: skip


@pytest.fixture
def ada(world: World) -> Subscriber:
    """Return who pays 9.99 a month."""
    world.publish(SMALL)
    return world.subscribed("notes")


# --- granting -----------------------------------------------------------------------------------


def test_credit_that_is_granted_pays_the_next_invoices(world: World, ada: Subscriber) -> None:
    given = grant(world, ada, 1500)

    world.run_until("2026-02-02")

    assert [(each.credit, each.due) for each in world.invoices(ada)] == [(999, 0), (501, 498)]
    assert kinds(world, given) == ["granted", "applied", "applied"]
    assert balance(world, "credit_grants") == 1500
    world.assert_everything_adds_up()


def test_a_repetition_under_the_callers_id_grants_nothing_more(
    world: World, ada: Subscriber
) -> None:
    own = new_id()

    first = grant(world, ada, 500, id=own)
    world.run_until("2026-01-02")
    again = grant(world, ada, 500, id=own)

    assert first == again == own
    assert left(world, ada) == [0]
    with pytest.raises(Conflict) as refused:
        grant(world, ada, 501, id=own)
    assert refused.value.code is ErrorCode.GRANT_ID_TAKEN
    world.assert_everything_adds_up()


def test_a_repetition_is_known_again_when_nothing_new_could_be_granted(world: World) -> None:
    world.publish(SMALL)
    bob, own = world.subscribed("notes"), new_id()
    order: dict[str, Any] = {
        "id": own, "subscription": bob.reference, "expires": at("2026-01-20"),
    }  # fmt: skip
    grant(world, bob, 500, **order)
    world.run_until("2026-02-01")
    cancel(world, bob)

    assert grant(world, bob, 500, **order) == own
    assert left(world, bob) == [0]


def test_credit_for_one_subscription_pays_no_other(world: World, ada: Subscriber) -> None:
    other = world.subscribe(ada.customer_id, ada.provider_customer_id, "notes")
    grant(world, ada, 5000, subscription=ada.reference)

    world.run_until("2026-01-02")

    assert [each.credit for each in world.invoices(ada)] == [999]
    assert [each.credit for each in world.invoices(other)] == [0]
    world.assert_everything_adds_up()


def test_credit_pays_only_in_its_currency(world: World, ada: Subscriber) -> None:
    grant(world, ada, 5000, currency="EUR")

    world.run_until("2026-01-02")

    assert [each.credit for each in world.invoices(ada)] == [0]
    world.assert_everything_adds_up()


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({"amount": 0}, "above zero"),
        ({"amount": -100}, "above zero"),
        ({"amount": 100_000_000}, "at most"),
        ({"currency": "XXX"}, "XXX"),
        ({"priority": 0}, "from 1 to 100"),
        ({"priority": 101}, "from 1 to 100"),
        ({"expires": at("2026-01-01")}, "after now"),
        ({"expires": at("2025-12-31")}, "after now"),
        ({"effective": at("2025-12-31")}, "for the past"),
        ({"effective": at("2026-02-01"), "expires": at("2026-02-01")}, "after it begins"),
        ({"reason": "card 4242424242424242"}, "card number"),
    ],
)
def test_what_can_not_be_granted(
    world: World, ada: Subscriber, order: dict[str, Any], words: str
) -> None:
    told = {"amount": 100, "currency": "USD", "reason": "an outage", **order}

    with pytest.raises(BadInput, match=words):
        granting.grant(
            world.engine, GrantOrder(ada.customer, **told), now=world.now, actor=OPERATOR
        )

    assert left(world, ada) == []


def test_credit_is_granted_to_a_customer_and_a_subscription_of_theirs_alone(
    world: World, ada: Subscriber
) -> None:
    bob, ended = world.subscribed("notes"), world.subscribed("notes")
    cancel(world, ended)

    with pytest.raises(BadInput) as of_another:
        grant(world, ada, 100, subscription=bob.reference)
    with pytest.raises(BadInput) as other_currency:
        grant(world, ada, 100, currency="EUR", subscription=ada.reference)
    with pytest.raises(Conflict) as over:
        grant(world, ended, 100, subscription=ended.reference)
    with pytest.raises(NotFound):
        grant(world, ada, 100, subscription="nobodys")
    with pytest.raises(NotFound):
        granting.grant(
            world.engine, GrantOrder("nobody", 100, "USD", ""), now=world.now, actor=OPERATOR
        )

    assert {of_another.value.code, other_currency.value.code} == {ErrorCode.GRANT_PAYS_NOTHING}
    assert over.value.code is ErrorCode.SUBSCRIPTION_ENDED


# --- expiry -------------------------------------------------------------------------------------


def test_what_is_left_at_its_expiry_is_written_off_once(world: World, ada: Subscriber) -> None:
    given = grant(world, ada, 1500, expires=at("2026-01-20"))

    for moment in ("2026-02-02", "2026-03-02"):
        world.run_until(moment)
        world.close_books()

    assert [each.credit for each in world.invoices(ada)] == [999, 0, 0]
    assert kinds(world, given) == ["granted", "applied", "expired"]
    assert left(world, ada) == [0]
    assert balance(world, "credit_grants") == 999, "what nobody used cost nothing"
    world.assert_everything_adds_up()


def test_an_expiry_that_is_found_late_is_booked_at_its_instant(
    world: World, ada: Subscriber
) -> None:
    given = grant(world, ada, 1500, expires=at("2026-01-20"))

    world.run_until("2026-01-02")
    world.jump_to("2026-05-02")
    world.run_until("2026-05-03")
    world.close_books()

    with world.engine.connect() as conn:
        assert queries.moves_of(conn, given)[-1].at == at("2026-01-20")
    world.assert_everything_adds_up()


def test_credit_that_was_paid_for_expires_to_revenue(world: World, ada: Subscriber) -> None:
    bought(world, ada, 1500, at("2026-01-20"))

    world.run_until("2026-01-21")
    world.close_books()

    assert balance(world, "credit_breakage") == -501
    assert balance(world, "customer_credit") == 0


def test_credit_that_is_all_used_leaves_nothing_to_expire(world: World, ada: Subscriber) -> None:
    given = grant(world, ada, 999, expires=at("2026-01-20"))

    world.run_until("2026-01-21")
    world.close_books()

    assert kinds(world, given) == ["granted", "applied"]
    with world.engine.connect() as conn:
        due = text("SELECT count(*) FROM credit_grants WHERE expiry_due_at IS NOT NULL")
        assert conn.execute(due).scalar_one() == 0
    world.assert_everything_adds_up()


def test_credit_that_comes_back_after_its_expiry_expires_again(world: World) -> None:
    world.publish(SMALL)
    bob = world.subscribed("notes", card="pm_card_chargeCustomerFail")
    given = grant(world, bob, 700, expires=at("2026-01-01 00:01"))
    world.run_until("2026-01-02")

    world.close_books()
    cancel(world, bob)
    world.close_books()

    assert kinds(world, given) == ["granted", "applied", "returned", "expired"]
    assert left(world, bob) == [0]
    world.assert_everything_adds_up()


def test_many_expire_in_several_batches(world: World) -> None:
    world.publish(SMALL)
    subscribers = [world.subscribed("notes") for _ in range(3)]
    for subscriber in subscribers:
        grant(world, subscriber, 500, expires=at("2026-01-20"), effective=at("2026-01-10"))
        grant(world, subscriber, 600, expires=at("2026-01-21"), effective=at("2026-01-10"))

    done = expiring.run(world.engine, now=at("2026-01-22"), batch=1)
    again = expiring.run(world.engine, now=at("2026-01-22"), batch=1)

    assert (done.seen, done.expired, again.seen) == (6, 6, 0)
    assert [left(world, each) for each in subscribers] == [[0, 0]] * 3


# --- revoking -----------------------------------------------------------------------------------


def test_a_revoked_grant_pays_nothing_more(world: World, ada: Subscriber) -> None:
    given = grant(world, ada, 1500)
    world.run_until("2026-01-02")

    taken = revoking.revoke(world.engine, given, now=world.now, actor=OPERATOR)
    world.run_until("2026-02-02")

    assert taken == Money(501, "USD")
    assert [each.credit for each in world.invoices(ada)] == [999, 0]
    assert kinds(world, given) == ["granted", "applied", "expired"]
    with pytest.raises(Conflict) as nothing:
        revoking.revoke(world.engine, given, now=world.now, actor=OPERATOR)
    assert nothing.value.code is ErrorCode.GRANT_USED_UP
    world.assert_everything_adds_up()


def test_what_comes_back_to_a_revoked_grant_pays_nothing_and_expires(
    world: World, ada: Subscriber
) -> None:
    given = grant(world, ada, 1500)
    world.run_until("2026-01-02")
    (invoice,) = world.invoices(ada)
    revoking.revoke(world.engine, given, now=world.now, actor=OPERATOR)

    with world.engine.begin() as conn:
        crediting.give_back(conn, invoice.id, world.now, OPERATOR)
    world.run_until("2026-02-02")
    world.close_books()

    assert [each.credit for each in world.invoices(ada)] == [999, 0]
    assert kinds(world, given) == ["granted", "applied", "expired", "returned", "expired"]
    assert left(world, ada) == [0]


def test_credit_that_was_paid_for_is_not_revoked(world: World, ada: Subscriber) -> None:
    given = bought(world, ada, 1500, at("2027-01-01"))

    with pytest.raises(Conflict) as refused:
        revoking.revoke(world.engine, given, now=world.now, actor=OPERATOR)
    with pytest.raises(NotFound):
        revoking.revoke(world.engine, new_id(), now=world.now, actor=OPERATOR)

    assert refused.value.code is ErrorCode.GRANT_PAID_FOR
    assert left(world, ada) == [1500]


# --- balances -----------------------------------------------------------------------------------


def test_a_balance_tells_what_is_left_and_what_pays_now(world: World, ada: Subscriber) -> None:
    grant(world, ada, 500)
    grant(world, ada, 300, effective=at("2026-06-01"))
    grant(world, ada, 200, expires=at("2026-01-05"))
    grant(world, ada, 100, currency="EUR")

    with world.engine.connect() as conn:
        found = queries.balances(conn, ada.customer_id, at("2026-01-05"))
        none = queries.balances(conn, new_id(), at("2026-01-05"))

    assert [(each.currency, each.left, each.usable) for each in found] == [
        ("EUR", 100, 100),
        ("USD", 1000, 500),
    ]
    assert none == []


# --- several at once ----------------------------------------------------------------------------


def at_once(*works: Callable[[], object]) -> list[BaseException]:
    """Do it all at one moment, in threads, and return what was raised."""
    begin, raised = threading.Barrier(len(works)), list[BaseException]()

    def run(work: Callable[[], object]) -> None:
        begin.wait()
        try:
            work()
        except (DBAPIError, BillingError) as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


@pytest.mark.parametrize("schedulers", [2, 4])
def test_schedulers_that_open_at_once_use_no_credit_twice(world: World, schedulers: int) -> None:
    world.publish(SMALL)
    ada = world.subscribed("notes")
    others = [
        world.subscribe(ada.customer_id, ada.provider_customer_id, "notes")
        for _ in range(2 * schedulers - 1)
    ]
    grant(world, ada, 2500)
    grant(world, ada, 1700, expires=at("2026-03-01"))

    def open_all() -> None:
        while opening.open_due_cycles(
            world.engine, now=world.now, limit=1, policy=world.policy
        ).seen:
            pass

    raised = at_once(*[open_all] * schedulers)

    assert raised == []
    found = [each for one in (ada, *others) for each in world.invoices(one)]
    assert len(found) == 2 * schedulers
    assert sum(each.credit for each in found) == min(4200, 999 * len(found))
    assert sum(left(world, ada)) == max(0, 4200 - 999 * len(found))
    world.run_until("2026-01-02")
    world.assert_everything_adds_up()


def test_credit_is_used_or_expires_or_is_revoked_and_never_two_of_them(world: World) -> None:
    world.publish(SMALL)
    ada = world.subscribed("notes")
    given = grant(world, ada, 500, expires=world.now + timedelta(microseconds=1))

    def open_it() -> None:
        opening.open_due_cycles(world.engine, now=world.now, limit=9, policy=world.policy)

    def revoke() -> None:
        revoking.revoke(world.engine, given, now=world.now, actor=OPERATOR)

    def expire() -> None:
        expiring.run(world.engine, now=world.now + timedelta(seconds=1), batch=10)

    raised = at_once(open_it, revoke, expire, expire)

    moves = kinds(world, given)
    assert moves in (["granted", "applied"], ["granted", "expired"])
    assert len(raised) == (0 if _revoked(world, given) else 1)
    assert left(world, ada) == [0]


def _revoked(world: World, grant_id: UUID) -> bool:
    with world.engine.connect() as conn:
        last = queries.moves_of(conn, grant_id)[-1]
    return str(last.kind) == "expired" and last.actor == str(OPERATOR)


def test_the_database_refuses_a_move_that_was_decided_on_an_old_balance(
    world: World, ada: Subscriber
) -> None:
    grant(world, ada, 500)
    with world.engine.connect() as conn:
        (stale,) = credit.lock_left(conn, [ada.customer_id])[ada.customer_id]

    with world.engine.begin() as conn:
        expiring.write_off(conn, [stale], OPERATOR, at=world.now)
    with pytest.raises(DBAPIError), world.engine.begin() as conn:
        expiring.write_off(conn, [stale], OPERATOR, at=world.now)

    assert left(world, ada) == [0]


def test_one_id_that_is_granted_twice_at_once_is_one_grant(world: World, ada: Subscriber) -> None:
    own = new_id()

    raised = at_once(*[lambda: grant(world, ada, 500, id=own)] * 3)

    assert raised == []
    assert left(world, ada) == [500]
