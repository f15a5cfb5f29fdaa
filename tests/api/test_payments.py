"""Payments over HTTP: each story ends at the provider and in the books."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from billing.flows.service.callers import Caller as Asking
from billing.flows.service.orders import ChargeOrder
from billing.flows.service.payments import InlineWorker
from billing.store import fences
from tests.api.caller import Caller, Json, Shop, fresh
from tests.scenarios.world import Subscriber, World


@pytest.fixture
def ada(world: World) -> Subscriber:
    """A customer with a card, and no subscription."""
    customer_id, provider_id = world.customer()
    return Subscriber(customer_id, provider_id, customer_id)


def with_card(world: World, card: str) -> str:
    return str(world.customer(card)[0])


def rows(world: World, table: str) -> int:
    with world.engine.connect() as conn:
        return int(conn.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


# --- one charge ---------------------------------------------------------------------------------


def test_a_charge_is_captured_at_once_and_stands_in_the_books(
    caller: Caller, ada: Subscriber, world: World
) -> None:
    paid = caller.charged(1234, customer=ada.customer, description="a poster")

    assert (paid["state"], paid["amount_captured"], paid["pending"]) == ("CAPTURED", 1234, False)
    assert paid["description"] == "a poster"
    assert caller.found(f"/v1/payments/{paid['id']}") == paid | {"refunds": []}
    assert world.psp.captured() == {"USD": 1234}
    world.assert_everything_adds_up()


def test_a_payment_source_is_a_token_or_an_id_of_a_known_customers_card(
    caller: Caller, ada: Subscriber
) -> None:
    method = caller.found(f"/v1/customers/{ada.customer}/payment-methods")["data"][0]

    by_token = caller.charged(500, payment_source=method["provider_payment_method_id"])
    by_id = caller.charged(500, payment_source=method["id"], customer=ada.customer)

    assert by_token["customer_id"] == by_id["customer_id"] == ada.customer
    assert by_token["payment_method_id"] == method["id"]


def test_who_pays_has_to_be_known(caller: Caller, ada: Subscriber, world: World) -> None:
    other = with_card(world, "pm_card_mastercard")
    theirs = caller.found(f"/v1/customers/{other}/payment-methods")["data"][0]["id"]
    cardless = str(world.customer(None)[0])

    def refused(**order: str) -> tuple[int, str]:
        answer = caller.post("/v1/payments", {"amount": 500, "currency": "USD", **order})
        return answer.status_code, answer.json()["code"]

    assert refused() == (422, "invalid_request")
    assert refused(customer="nobody") == (404, "not_found")
    assert refused(payment_source="pm_card_visa") == (404, "not_found")
    assert refused(customer=ada.customer, payment_source=theirs) == (422, "invalid_request")
    assert refused(customer=cardless) == (409, "conflict")
    assert world.psp.sends() == 0
    assert rows(world, "payments") == rows(world, "idempotency_keys") == 0


def test_a_decline_is_final_and_has_no_ladder(caller: Caller, world: World) -> None:
    bob = with_card(world, "pm_card_chargeCustomerFail")

    answer = caller.post("/v1/payments", {"amount": 999, "currency": "USD", "customer": bob})

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (402, "payment_declined")
    assert problem["payment"]["state"] == "FAILED"
    assert problem["payment"]["decline_code"] == "generic_decline"
    world.run_until("2026-03-01")
    assert world.psp.sends() == 1
    world.assert_everything_adds_up()


def test_what_the_provider_refuses_as_wrong_is_over_and_not_parked(
    caller: Caller, ada: Subscriber, world: World
) -> None:
    """Left parked, an operator could release it after the caller had tried another way."""
    world.rename_at_provider(ada, "cus_deleted")
    answer = caller.post(
        "/v1/payments", {"amount": 999, "currency": "USD", "customer": ada.customer}
    )

    assert answer.status_code == 402
    assert answer.json()["payment"]["state"] == "FAILED"
    assert "refused" in answer.json()["detail"]
    world.assert_everything_adds_up()


AMOUNTS_REFUSED = [
    9.99, 999.0, 1e3, "999", True, False, None, [999], 0, -5, 49, 100_000_000, 1_000_000_000_000,
]  # fmt: skip


def test_an_amount_is_a_whole_number_of_minor_units(
    caller: Caller, ada: Subscriber, world: World
) -> None:
    for amount in AMOUNTS_REFUSED:
        order = {"amount": amount, "currency": "USD", "customer": ada.customer}
        assert caller.post("/v1/payments", order).status_code == 422, amount
    assert world.psp.sends() == 0


def test_a_currency_is_an_iso_code(caller: Caller, ada: Subscriber, world: World) -> None:
    for currency in ("usd", "US", "XXXX", "ZZZ", "", 840):
        order = {"amount": 999, "currency": currency, "customer": ada.customer}
        assert caller.post("/v1/payments", order).status_code == 422, currency
    assert world.psp.sends() == 0


# --- once a key ---------------------------------------------------------------------------------


def test_the_same_request_gets_the_same_answer_and_charges_once(
    caller: Caller, ada: Subscriber, world: World, shop: Shop
) -> None:
    key, order = fresh(), {"amount": 999, "currency": "USD", "customer": ada.customer}

    first, again = (caller.post("/v1/payments", order, key) for _ in range(2))

    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert world.psp.captures(ada) == 1
    assert shop.figure("billing_api_idempotency_total", result="replayed") == 1


def test_a_decline_is_replayed_too(caller: Caller, world: World) -> None:
    key = fresh()
    order = {"amount": 999, "currency": "USD",
             "customer": with_card(world, "pm_card_chargeCustomerFail")}  # fmt: skip

    first, again = (caller.post("/v1/payments", order, key) for _ in range(2))

    assert first.status_code == again.status_code == 402
    assert first.json() == again.json()
    assert world.psp.sends() == 1


@pytest.mark.parametrize("change", [{"amount": 1000}, {"currency": "EUR"}, {"description": "x"}])
def test_a_key_is_refused_with_other_parameters(
    change: Json, caller: Caller, ada: Subscriber, world: World, shop: Shop
) -> None:
    key, order = fresh(), {"amount": 999, "currency": "USD", "customer": ada.customer}
    caller.post("/v1/payments", order, key)

    answer = caller.post("/v1/payments", order | change, key)

    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert world.psp.captures(ada) == 1
    assert shop.figure("billing_api_idempotency_total", result="reused") == 1


def test_a_key_is_refused_for_another_operation(
    caller: Caller, ada: Subscriber, world: World
) -> None:
    key = fresh()
    paid = caller.post(
        "/v1/payments", {"amount": 999, "currency": "USD", "customer": ada.customer}, key
    ).json()

    answer = caller.post(f"/v1/payments/{paid['id']}/refunds", {}, key)

    assert answer.json()["code"] == "idempotency_key_reused"
    assert caller.found("/v1/transactions")["data"][0]["kind"] == "charge"


def test_keys_belong_to_the_caller_and_outlive_the_callers_api_key(
    shop: Shop, ada: Subscriber, world: World
) -> None:
    key, order = fresh(), {"amount": 999, "currency": "USD", "customer": ada.customer}
    before, renewed = shop.caller(name="shop"), shop.caller(name="shop")
    other = shop.caller(name="kiosk")

    mine = before.post("/v1/payments", order, key).json()
    theirs = other.post("/v1/payments", order, key).json()
    replayed = renewed.post("/v1/payments", order, key).json()

    assert mine["id"] == replayed["id"] != theirs["id"]
    assert world.psp.captures(ada) == 2


def test_a_refusal_before_anything_was_done_leaves_the_key_unused(
    caller: Caller, ada: Subscriber, world: World
) -> None:
    key, order = fresh(), {"amount": 999, "currency": "USD", "customer": "nobody"}

    refused = caller.post("/v1/payments", order, key)
    corrected = caller.post("/v1/payments", order | {"customer": ada.customer}, key)

    assert (refused.status_code, corrected.status_code) == (404, 201)


def test_two_hundred_at_once_charge_once(caller: Caller, ada: Subscriber, world: World) -> None:
    key, order = fresh(), {"amount": 999, "currency": "USD", "customer": ada.customer}
    together = threading.Barrier(50)

    def ask(_: int) -> tuple[int, str]:
        together.wait()
        answer = caller.post("/v1/payments", order, key)
        return answer.status_code, answer.json().get("code", answer.json().get("state"))

    with ThreadPoolExecutor(50) as pool:
        answers = set(pool.map(ask, range(200)))

    assert answers <= {(201, "CAPTURED"), (409, "request_in_flight")}
    assert (201, "CAPTURED") in answers
    assert world.psp.captures(ada) == 1
    assert rows(world, "payments") == rows(world, "attempts") == 1
    world.assert_everything_adds_up()


# --- crashes and silence ------------------------------------------------------------------------


class Crash(BaseException):
    """The process ends here."""


class Crashing:
    """A worker that does the work and then dies, or dies before."""

    def __init__(self, worker: InlineWorker, *, after: bool) -> None:
        self._worker = worker
        self._after = after

    def charge(self, payment_id: UUID) -> None:
        if self._after:
            self._worker.charge(payment_id)
        raise Crash

    def refund(self, refund_id: UUID) -> None:
        if self._after:
            self._worker.refund(refund_id)
        raise Crash


def crash_in(shop: Shop, monkeypatch: pytest.MonkeyPatch, *, after: bool) -> Callable[[], None]:
    """Let the next requests die inside, as a killed process would; return what ends that."""
    service = shop.api.app.state.services.payments
    monkeypatch.setattr("billing.flows.service.payments.release", lambda *_: None)
    worker = service.worker
    object.__setattr__(service, "worker", Crashing(worker, after=after))

    def over() -> None:
        object.__setattr__(service, "worker", worker)

    return over


@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after the call"])
def test_a_crash_is_taken_up_by_the_same_key(
    after: bool,
    shop: Shop,
    caller: Caller,
    ada: Subscriber,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key, order = fresh(), {"amount": 999, "currency": "USD", "customer": ada.customer}
    over = crash_in(shop, monkeypatch, after=after)
    service = shop.api.app.state.services.payments
    with pytest.raises(Crash):
        service.charge(Asking("k", "shop"), key, ChargeOrder(999, "USD", customer=ada.customer))
    over()
    held = caller.post("/v1/payments", order, key)
    world.wall += timedelta(minutes=5)
    taken_up = caller.post("/v1/payments", order, key)

    assert (held.status_code, held.json()["code"]) == (409, "request_in_flight")
    assert held.headers["Retry-After"] == "1"
    assert (taken_up.status_code, taken_up.json()["state"]) == (201, "CAPTURED")
    assert caller.post("/v1/payments", order, key).json() == taken_up.json()
    assert world.psp.captures(ada) == 1
    assert rows(world, "payments") == 1
    world.assert_everything_adds_up()


def test_a_charge_that_nobody_asks_for_again_is_finished_by_a_worker(
    shop: Shop, ada: Subscriber, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = crash_in(shop, monkeypatch, after=False)
    service = shop.api.app.state.services.payments
    with pytest.raises(Crash):
        service.charge(Asking("k", "shop"), fresh(), ChargeOrder(999, "USD", customer=ada.customer))
    over()

    world.run_until("2026-01-02")

    assert world.psp.captures(ada) == 1
    world.assert_everything_adds_up()


def test_a_lost_answer_is_pending_and_never_a_failure(
    caller: Caller, ada: Subscriber, world: World
) -> None:
    key, order = fresh(), {"amount": 999, "currency": "USD", "customer": ada.customer}
    world.psp.lose_next_answer(after_commit=True)

    pending = caller.post("/v1/payments", order, key)
    shown = caller.found(f"/v1/payments/{pending.json()['id']}")
    asked_again = caller.post("/v1/payments", order, key)

    assert (pending.status_code, pending.json()["pending"]) == (202, True)
    assert (shown["state"], shown["pending"]) == ("CREATED", True)
    assert (asked_again.status_code, asked_again.json()["state"]) == (201, "CAPTURED")
    assert world.psp.captures(ada) == 1
    world.assert_everything_adds_up()


@pytest.fixture
def left(world: World) -> Json:
    """An order of a customer whose account is configured no more."""
    with world.engine.begin() as conn:
        conn.execute(
            text(
                "WITH u AS (INSERT INTO customers (id, name, created_at, provider)"
                " VALUES (gen_random_uuid(), 'Ada', now(), 'gone') RETURNING id),"
                " t AS (INSERT INTO provider_customers (id, customer_id, provider,"
                " provider_customer_id, created_at) SELECT id, id, 'gone', 'cus_1', now() FROM u)"
                " INSERT INTO payment_methods (id, customer_id, provider_payment_method_id, kind,"
                " brand, last4, exp_month, exp_year, created_at, provider)"
                " SELECT gen_random_uuid(), id, 'pm_1', 'card', 'visa', '4242', 1, 2030, now(),"
                " 'gone' FROM u"
            )
        )
    return {"amount": 999, "currency": "USD", "payment_source": "pm_1"}


def test_a_charge_at_an_account_that_left_the_configuration_is_not_refused(
    caller: Caller, world: World, left: Json
) -> None:
    """It was compared with this database before it left."""
    with world.engine.begin() as conn:
        database = fences.this_database(conn)
        fences.open_for(conn, "gone", database=database, known_until=world.now, now=world.now)
    key = fresh()

    answers = [caller.post("/v1/payments", left, key) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [503, 202], "first the fault, then pending"
    assert (rows(world, "payments"), rows(world, "attempts")) == (1, 1), "a worker charges it later"


def test_a_charge_at_an_account_that_cannot_be_compared_leaves_its_key_unused(
    caller: Caller, world: World, left: Json
) -> None:
    key = fresh()

    answers = [caller.post("/v1/payments", left, key) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [503, 503]
    assert (rows(world, "payments"), rows(world, "idempotency_keys")) == (0, 0)


def test_a_lost_answer_is_found_by_a_worker_too(
    caller: Caller, ada: Subscriber, world: World
) -> None:
    key, order = fresh(), {"amount": 999, "currency": "USD", "customer": ada.customer}
    world.psp.lose_next_answer(after_commit=True)
    pending = caller.post("/v1/payments", order, key).json()

    world.settle()

    assert caller.found(f"/v1/payments/{pending['id']}")["state"] == "CAPTURED"
    assert caller.post("/v1/payments", order, key).json()["state"] == "CAPTURED"
    assert world.psp.captures(ada) == 1


# --- after an authorisation ---------------------------------------------------------------------


def test_a_manual_capture_takes_a_part_and_frees_the_rest(
    caller: Caller, ada: Subscriber, world: World
) -> None:
    held = caller.charged(1000, customer=ada.customer, capture="manual")
    at = f"/v1/payments/{held['id']}"
    key = fresh()

    first, again = (caller.post(f"{at}/capture", {"amount": 600}, key) for _ in range(2))

    assert (held["state"], held["pending"], held["amount_captured"]) == ("AUTHORIZED", False, 0)
    assert (first.status_code, first.json()["state"]) == (200, "CAPTURED")
    assert first.json()["amount_captured"] == 600
    assert again.json() == first.json()
    assert caller.post(f"{at}/capture").json()["code"] == "conflict"
    assert world.psp.captured() == {"USD": 600}
    world.assert_everything_adds_up()


def test_an_authorisation_is_given_up_by_a_void(
    caller: Caller, ada: Subscriber, world: World
) -> None:
    held = caller.charged(1000, customer=ada.customer, capture="manual")
    at = f"/v1/payments/{held['id']}"

    voided = caller.post(f"{at}/void", {"reason": "out of stock"})

    assert (voided.status_code, voided.json()["state"]) == (200, "FAILED")
    assert caller.post(f"{at}/void").status_code == 409
    assert caller.post(f"{at}/capture").status_code == 409
    assert world.psp.captured() == {}
    world.assert_everything_adds_up()


def test_more_than_was_authorised_is_not_captured(caller: Caller, ada: Subscriber) -> None:
    held = caller.charged(1000, customer=ada.customer, capture="manual")

    answer = caller.post(f"/v1/payments/{held['id']}/capture", {"amount": 1001})

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


# --- giving back --------------------------------------------------------------------------------


def test_refunds_in_parts_never_exceed_what_was_captured(
    caller: Caller, ada: Subscriber, world: World
) -> None:
    paid = caller.charged(1000, customer=ada.customer)
    at = f"/v1/payments/{paid['id']}/refunds"
    key = fresh()

    part, again = (caller.post(at, {"amount": 300, "reason": "scratched"}, key) for _ in range(2))
    rest = caller.post(at)
    more = caller.post(at, {"amount": 1})

    assert (part.status_code, part.json()["state"], part.json()["amount"]) == (
        201, "succeeded", 300,
    )  # fmt: skip
    assert again.json() == part.json()
    assert rest.json()["amount"] == 700
    assert (more.status_code, more.json()["code"]) == (409, "conflict")
    after = caller.found(f"/v1/payments/{paid['id']}")
    assert (after["state"], after["amount_refunded"], len(after["refunds"])) == (
        "REFUNDED", 1000, 2,
    )  # fmt: skip
    assert caller.found(f"/v1/refunds/{part.json()['id']}") == part.json()
    assert [each["amount"] for each in caller.found(at)["data"]] == [700, 300]


def test_fifty_refunds_at_once_give_back_once(
    caller: Caller, ada: Subscriber, world: World
) -> None:
    paid = caller.charged(1000, customer=ada.customer)
    key = fresh()

    with ThreadPoolExecutor(25) as pool:
        answers = list(
            pool.map(
                lambda _: caller.post(f"/v1/payments/{paid['id']}/refunds", {"amount": 400}, key),
                range(50),
            )
        )

    assert {answer.status_code for answer in answers} <= {201, 409}
    assert caller.found(f"/v1/payments/{paid['id']}")["amount_refunded"] == 400


@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after the call"])
def test_a_crashed_refund_is_taken_up(
    after: bool,
    shop: Shop,
    caller: Caller,
    ada: Subscriber,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paid = caller.charged(1000, customer=ada.customer)
    over = crash_in(shop, monkeypatch, after=after)
    service, key = shop.api.app.state.services.payments, fresh()
    with pytest.raises(Crash):
        service.refund(Asking("k", "shop"), key, UUID(paid["id"]), 400)
    over()
    world.wall += timedelta(minutes=5)

    answer = caller.post(f"/v1/payments/{paid['id']}/refunds", {"amount": 400}, key)

    assert (answer.status_code, answer.json()["state"]) == (201, "succeeded")
    after_all = caller.found(f"/v1/payments/{paid['id']}")
    assert (after_all["amount_refunded"], len(after_all["refunds"])) == (400, 1)


# --- lists --------------------------------------------------------------------------------------


def test_lists_are_read_page_by_page_the_newest_first(caller: Caller, ada: Subscriber) -> None:
    ids = [caller.charged(100 + n, customer=ada.customer)["id"] for n in range(5)]
    caller.post(f"/v1/payments/{ids[0]}/refunds", {"amount": 10})

    pages, cursor = [], None
    while True:
        page = caller.found("/v1/payments", limit=2, cursor=cursor)
        pages.append([each["id"] for each in page["data"]])
        cursor = page["next_cursor"]
        if cursor is None:
            break
    everything = caller.found("/v1/transactions", customer=ada.customer)

    assert pages == [[ids[4], ids[3]], [ids[2], ids[1]], [ids[0]]]
    assert [each["kind"] for each in everything["data"]] == ["refund"] + ["charge"] * 5
    assert caller.found("/v1/payments", state="FAILED")["data"] == []
    assert caller.get("/v1/payments", cursor="nonsense").status_code == 422


def test_an_invoices_payment_is_tried_again(caller: Caller, world: World) -> None:
    bob = world.subscribed("video-basic", card="pm_card_chargeCustomerFail")
    world.run_until("2026-01-20")
    payment = caller.found("/v1/payments", customer=bob.customer)["data"][0]
    key = fresh()

    first, again = (
        caller.post(f"/v1/payments/{payment['id']}/retry", {"reason": "they called"}, key)
        for _ in range(2)
    )

    assert first.status_code == again.status_code == 202
    assert first.json() == again.json()
    assert "api:shop" in first.json()["decision"]
