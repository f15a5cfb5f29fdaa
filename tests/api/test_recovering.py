"""While the database is behind the provider, every door says so, and reading goes on."""

from collections.abc import Callable
from uuid import UUID

import grpc
import pytest
import requests
from sqlalchemy import text

from billing.api.generated.perennial.v1 import payments_pb2 as pb
from billing.rules.reconciliation.knowledge import FenceCause
from billing.store import fences
from billing.workers.roles import _fence_note
from tests.api.caller import Caller, fresh
from tests.api.test_problems import problem
from tests.api.test_rpc import refusal
from tests.scenarios.money import one_off, paid, usd
from tests.scenarios.world import Subscriber, World

Asking = Callable[[Caller, "Ids"], requests.Response]


class Ids:
    """A customer, and a payment in each state that something can be asked for."""

    def __init__(self, world: World) -> None:
        subscriber: Subscriber = paid(world)
        self.customer = subscriber.customer
        self.captured = world.payment(subscriber).id
        self.authorized = one_off(world, usd(700), capture_method="manual")
        world.charge(self.authorized)


@pytest.fixture
def ids(world: World) -> Ids:
    """What there is in a world whose account is recovering."""
    ids = Ids(world)
    with world.engine.begin() as conn:
        fences.close_for(
            conn,
            world.provider,
            cause=FenceCause.BEHIND,
            evidence={"theirs": "ch_1"},
            known_until=world.now,
            now=world.now,
        )
    return ids


def charge(caller: Caller, ids: Ids) -> requests.Response:
    order = {"amount": 500, "currency": "USD", "customer": ids.customer}
    return caller.post("/v1/payments", order)


def capture(caller: Caller, ids: Ids) -> requests.Response:
    return caller.post(f"/v1/payments/{ids.authorized}/capture")


def void(caller: Caller, ids: Ids) -> requests.Response:
    return caller.post(f"/v1/payments/{ids.authorized}/void")


def refund(caller: Caller, ids: Ids) -> requests.Response:
    return caller.post(f"/v1/payments/{ids.captured}/refunds")


def retry(caller: Caller, ids: Ids) -> requests.Response:
    return caller.post(f"/v1/payments/{ids.captured}/retry")


def customer(caller: Caller, _: Ids) -> requests.Response:
    return caller.post("/v1/customers", {"name": "Grace"})


def card(caller: Caller, ids: Ids) -> requests.Response:
    body = {"payment_method": "pm_card_visa"}
    return caller.post(f"/v1/customers/{ids.customer}/payment-methods", body)


@pytest.mark.parametrize("ask", [charge, capture, void, refund, retry, customer, card])
def test_what_would_be_sent_is_refused_over_http(
    caller: Caller, ids: Ids, world: World, ask: Asking
) -> None:
    sends = world.psp.sends()
    answer = ask(caller, ids)
    problem(answer, 503, "recovering")
    assert answer.headers["retry-after"] == "60"
    assert world.psp.sends() == sends


def test_what_would_be_sent_is_refused_over_grpc(caller: Caller, ids: Ids) -> None:
    order = pb.ChargeRequest(
        idempotency_key=fresh(), amount_cents=500, currency="USD", customer=ids.customer
    )
    assert refusal(caller, "Charge", order) == (grpc.StatusCode.UNAVAILABLE, "recovering")


def test_a_refused_charge_leaves_its_key_free_and_is_made_once_after_the_recovery(
    caller: Caller, ids: Ids, world: World
) -> None:
    order, key = {"amount": 500, "currency": "USD", "customer": ids.customer}, fresh()
    problem(caller.post("/v1/payments", order, key), 503, "recovering")
    with world.engine.begin() as conn:
        database = fences.this_database(conn)
        fences.reopen(conn, world.provider, database=database, passed_over=[], now=world.now)
    first, again = (caller.post("/v1/payments", order, key) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]


def test_reading_goes_on(caller: Caller, ids: Ids) -> None:
    assert caller.found(f"/v1/payments/{ids.captured}")["state"] == "CAPTURED"


def test_a_charge_of_a_database_that_was_not_compared_compares_it(
    caller: Caller, world: World
) -> None:
    subscriber = paid(world)
    with world.engine.begin() as conn:
        conn.execute(text("UPDATE provider_fences SET checked_database = 'another'"))
    order = {"amount": 500, "currency": "USD", "customer": subscriber.customer}
    assert caller.post("/v1/payments", order).status_code == 201
    world.assert_everything_adds_up()


def test_the_readiness_page_names_the_account(ids: Ids, world: World) -> None:
    assert isinstance(ids.captured, UUID)
    assert _fence_note(world.runtime)() == "stripe: behind"
