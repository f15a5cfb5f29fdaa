"""The payment subsystem, clause by clause: each one told end to end, through public interfaces.

A Payment API with mandatory idempotency keys (charge, status, partial and full refund), over
HTTP and gRPC. Same key and parameters return the stored answer, even after a crash between
provider and commit; other parameters are refused; concurrent twins execute once. A strict
state machine (CREATED, AUTHORIZED, CAPTURED, SETTLED, or FAILED / REFUNDED), enforced in code
and database. An immutable, balanced, double-entry ledger. Webhooks: signature, retries,
dedupe. A nightly reconciliation against a settlement report, corrections forced with
evidence, alerts for unknown transactions. FX conversions as explicit events, and no
arithmetic on mixed currencies. Tokens, and never card data.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
import requests
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from billing.api.generated.perennial.v1 import payments_pb2 as pb
from billing.embedded.servers import free_port
from billing.flows.service import api_keys
from billing.flows.service.api_keys import Scope
from billing.rules.actor import Actor, ActorKind
from billing.rules.money import CurrencyMismatch, Money
from billing.rules.payments import TRANSITIONS, Cause, IllegalTransition, State, check_transition
from billing.store.engine import APP_ROLE, make_engine
from tests.api.caller import PEPPER, Caller, Json, Shop, fresh, open_shop
from tests.cli.world import Cli, environment
from tests.delivery.engine_under_test import EngineUnderTest
from tests.scenarios.money import NO_TRIAL, apply_events_of_dispute, balances, decide, one_off, usd
from tests.scenarios.money import open_dispute as dispute_opened
from tests.scenarios.webhook_deliveries import WebhookDeliveries, webhooks_delivered_to
from tests.scenarios.world import Subscriber, World
from tests.waiting import PATIENCE, until
from tests.webhook_endpoint import event

Code = grpc.StatusCode
CARD = "4242 4242 4242 4242"


@pytest.fixture
def shop(world: World) -> Iterator[Shop]:
    """The API, running."""
    with open_shop(world) as shop:
        yield shop


@pytest.fixture
def caller(shop: Shop) -> Caller:
    """A caller with a key that may do everything."""
    return shop.caller()


@pytest.fixture
def ada(world: World) -> Subscriber:
    """A customer with a card."""
    customer_id, provider_id = world.customer()
    return Subscriber(customer_id, provider_id, customer_id)


def order_of(ada: Subscriber, **changes: Any) -> Json:
    return {"amount": 999, "currency": "USD", "customer": ada.customer, **changes}


def refused(caller: Caller, call: str, request: Any) -> tuple[Code, str]:
    """Return the status and our own code that a gRPC call ends with."""
    with pytest.raises(grpc.RpcError) as caught:
        getattr(caller.rpc, call)(request, metadata=caller.metadata, timeout=PATIENCE)
    error = cast(grpc.Call, caught.value)
    return error.code(), str(dict(error.trailing_metadata() or ())["perennial-code"])


def count(world: World, table: str) -> int:
    with world.engine.connect() as conn:
        return int(conn.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


# --- the Payment API ----------------------------------------------------------------------------


def test_grpc_charge_and_get_status(caller: Caller, ada: Subscriber, world: World) -> None:
    """Charge(idempotency_key, amount_cents, currency, payment_source), then GetStatus, typed."""
    (token,) = [row for row in world.payment_methods(ada)]
    request = pb.ChargeRequest(
        idempotency_key=fresh(), amount_cents=999, currency="USD", payment_source=token
    )

    made = caller.rpc.Charge(request, metadata=caller.metadata, timeout=PATIENCE).payment
    status = caller.rpc.GetStatus(
        pb.GetStatusRequest(payment_id=made.id), metadata=caller.metadata, timeout=PATIENCE
    )

    assert (made.state, made.amount_captured_cents) == (pb.PAYMENT_STATE_CAPTURED, 999)
    assert status.payment == made
    assert world.psp.captures(ada) == 1
    world.assert_everything_adds_up()


def test_idempotency_keys_are_mandatory(caller: Caller, ada: Subscriber, world: World) -> None:
    """On every POST the interface has, and on every gRPC call that changes something."""
    document = caller.found("/v1/openapi.json")
    posts = [path for path, each in document["paths"].items() if "post" in each]
    assert "/v1/payments" in posts
    posts.remove("/v1/subscriptions/{subscription}/changes/quote")  # it only tells
    posts.remove("/v1/usage")  # each event has an id of its own
    for path in posts:
        answer = requests.post(
            caller.url + path.replace("{payment_id}", "01a203a3-5ec8-7b90-84bf-e4cf13f0721b"),
            json={},
            headers={"Authorization": f"Bearer {caller.key}"},
            timeout=PATIENCE,
        )
        assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_missing"), path

    charge = pb.ChargeRequest(amount_cents=999, currency="USD", customer=ada.customer)
    assert refused(caller, "Charge", charge)[0] == Code.INVALID_ARGUMENT
    for call, request in (("Capture", pb.CaptureRequest), ("Void", pb.VoidRequest),
                          ("Refund", pb.RefundRequest)):  # fmt: skip
        unkeyed = request(payment_id="01a203a3-5ec8-7b90-84bf-e4cf13f0721b")
        assert refused(caller, call, unkeyed)[0] == Code.INVALID_ARGUMENT, call
    assert world.psp.sends() == count(world, "payments") == 0


def test_charge_status_partial_and_full_refund(
    caller: Caller, ada: Subscriber, world: World
) -> None:
    paid = caller.charged(1000, customer=ada.customer)
    refunds = f"/v1/payments/{paid['id']}/refunds"

    part = caller.post(refunds, {"amount": 300, "reason": "one of three was broken"})
    after_part = caller.found(f"/v1/payments/{paid['id']}")
    rest = caller.post(refunds, {"reason": "the others too"})
    after_all = caller.found(f"/v1/payments/{paid['id']}")
    too_much = caller.post(refunds, {"amount": 1})

    assert (part.status_code, part.json()["amount"], part.json()["state"]) == (
        201, 300, "succeeded",
    )  # fmt: skip
    assert (after_part["state"], after_part["amount_refunded"]) == ("CAPTURED", 300)
    assert (rest.status_code, rest.json()["amount"]) == (201, 700)
    assert (after_all["state"], after_all["amount_refunded"]) == ("REFUNDED", 1000)
    assert [each["amount"] for each in after_all["refunds"]] == [300, 700]
    assert too_much.status_code in (409, 422)
    assert balances(world) == {"revenue": -1000, "refunds_contra": 1000}
    world.assert_everything_adds_up()


# --- the idempotency table ----------------------------------------------------------------------


def test_same_key_and_parameters_return_the_stored_answer(
    caller: Caller, ada: Subscriber, world: World
) -> None:
    """Over either interface, and also when the payment has moved on since."""
    key = fresh()
    first = caller.post("/v1/payments", order_of(ada), key)
    caller.post(f"/v1/payments/{first.json()['id']}/refunds", {})

    again = caller.post("/v1/payments", order_of(ada), key)
    over_grpc = caller.rpc.Charge(
        pb.ChargeRequest(
            idempotency_key=key, amount_cents=999, currency="USD", customer=ada.customer
        ),
        metadata=caller.metadata,
        timeout=PATIENCE,
    )

    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert again.headers["Idempotency-Replayed"] == "true"
    assert over_grpc.replayed
    assert over_grpc.payment.id == first.json()["id"]
    assert world.psp.captures(ada) == 1
    world.assert_everything_adds_up()


def test_the_answer_survives_a_crash_between_provider_and_commit(
    tmp_path: Path, db_url: str, redis_url: str
) -> None:
    """kill -9 of the API after the provider took the money and before we wrote it down."""
    http = free_port()
    with EngineUnderTest(
        tmp_path, schedulers=0, workers=0, reconcilers=0, apis=1, database__url=db_url,
        redis__url=redis_url, api__port=str(http), api__grpc_port="0", api__pepper=PEPPER,
    ) as engine:  # fmt: skip
        engine.populate(1)
        _, secret = api_keys.create(
            engine.runtime.engine, name="shop", scopes=(Scope.CHARGE, Scope.READ), pepper=PEPPER,
            wall=engine.runtime.clock.wall(), actor=Actor(ActorKind.CLI, "test"),
        )  # fmt: skip
        order, key = {"amount": 999, "currency": "USD", "customer": "customer-0"}, fresh()

        def ask() -> requests.Response | None:
            """Return an answer that is final, or None."""
            headers = {"Authorization": f"Bearer {secret}", "Idempotency-Key": key}
            try:
                answer = requests.post(
                    f"http://127.0.0.1:{http}/v1/payments",
                    json=order,
                    headers=headers,
                    timeout=PATIENCE,
                )
            except requests.ConnectionError:
                return None
            return None if answer.status_code in (202, 409, 503) else answer

        engine.wait_until(lambda: reachable(http))
        engine.fault("hang_after_commit", times=1)
        with ThreadPoolExecutor(1) as pool:
            lost = pool.submit(ask)
            engine.wait_until(lambda: engine.sandbox.stats()["captures"] == 1)
            assert engine.kill("api-1")
            assert lost.result() is None, "the caller never heard"
        assert engine._count("SELECT count(*) FROM payments WHERE state = 'CREATED'") == 1

        engine.wait_until(lambda: ask() is not None)
        answers = [ask(), ask()]

        first, second = (answer for answer in answers if answer is not None)
        assert (first.status_code, first.json()["state"]) == (201, "CAPTURED")
        assert first.content == second.content
        assert engine.restarts()["api-1"] >= 1
        assert engine.sandbox.stats()["captures"] == 1
        assert engine._count("SELECT count(*) FROM payments") == 1
        assert engine._count(
            "SELECT count(*) FROM ledger.entries WHERE kind = 'payment_captured'"
        ) == 1  # fmt: skip
        assert engine._count("SELECT coalesce(sum(amount), 0) FROM ledger.postings") == 0


def reachable(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def test_other_parameters_under_a_key_are_refused(
    caller: Caller, ada: Subscriber, world: World
) -> None:
    key = fresh()
    paid = caller.post("/v1/payments", order_of(ada), key).json()

    for change in ({"amount": 998}, {"currency": "EUR"}, {"description": "two"}):
        answer = caller.post("/v1/payments", order_of(ada, **change), key)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    other = caller.post(f"/v1/payments/{paid['id']}/refunds", {}, key)
    assert other.json()["code"] == "idempotency_key_reused"
    changed = pb.ChargeRequest(
        idempotency_key=key, amount_cents=1, currency="USD", customer=ada.customer
    )
    assert refused(caller, "Charge", changed) == (Code.ALREADY_EXISTS, "idempotency_key_reused")

    assert (world.psp.captures(ada), world.psp.captured()) == (1, {"USD": 999})
    world.assert_everything_adds_up()


def test_concurrent_twins_execute_once(caller: Caller, ada: Subscriber, world: World) -> None:
    """Over both faces at once, while the provider takes its time."""
    key, together = fresh(), threading.Barrier(20)
    world.psp.fault("slow", delay_ms=300)

    def by_http(_: int) -> str:
        together.wait()
        answer = caller.post("/v1/payments", order_of(ada), key).json()
        return str(answer.get("id") or answer["code"])

    def by_grpc(_: int) -> str:
        request = pb.ChargeRequest(
            idempotency_key=key, amount_cents=999, currency="USD", customer=ada.customer
        )
        together.wait()
        try:
            return str(
                caller.rpc.Charge(request, metadata=caller.metadata, timeout=PATIENCE).payment.id
            )
        except grpc.RpcError as error:
            trailing = cast(grpc.Call, error).trailing_metadata() or ()
            return str(dict(trailing)["perennial-code"])

    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit((by_http, by_grpc)[n % 2], n) for n in range(20)]
        answers = {each.result() for each in asked}

    assert len(answers - {"request_in_flight"}) == 1
    assert world.psp.captures(ada) == 1
    assert count(world, "payments") == count(world, "attempts") == 1
    world.assert_everything_adds_up()


# --- the state machine --------------------------------------------------------------------------

STATES = ("CREATED", "AUTHORIZED", "CAPTURED", "SETTLED", "FAILED", "REFUNDED")
FORWARD = {
    ("CREATED", "AUTHORIZED"), ("AUTHORIZED", "CAPTURED"), ("CAPTURED", "SETTLED"),
    ("CAPTURED", "REFUNDED"), ("SETTLED", "REFUNDED"), ("CREATED", "FAILED"),
    ("AUTHORIZED", "FAILED"),
}  # fmt: skip
# Back only by what has evidence: a refund that failed, a debt taken up again, a correction, a
# settlement that was declined.
BACK = {
    ("CAPTURED", "CREATED"): {"settlement_declined"},
    ("REFUNDED", "CAPTURED"): {"refund_failed"},
    ("REFUNDED", "SETTLED"): {"refund_failed"},
    ("FAILED", "CREATED"): {"reopened_by_operator", "reopened_by_payment_method"},
    ("FAILED", "CAPTURED"): {"forced_correction"},
}


def test_a_payment_walks_through_a_strict_state_machine(
    caller: Caller, ada: Subscriber, world: World
) -> None:
    """Every step is in its history, and no state is there but the six."""
    held = caller.charged(1000, customer=ada.customer, capture="manual")
    assert held["state"] == "AUTHORIZED"
    caller.post(f"/v1/payments/{held['id']}/capture", {})
    world.run_until("2026-01-02")
    world.close_books()
    caller.post(f"/v1/payments/{held['id']}/refunds", {})
    bob, _ = world.customer("pm_card_chargeCustomerFail")
    failed = caller.post("/v1/payments", order_of(ada, customer=str(bob))).json()["payment"]

    with world.engine.connect() as conn:
        walked = conn.execute(
            text("SELECT payment_id, from_state, to_state FROM payment_transitions ORDER BY id")
        ).all()
    assert [(row.from_state, row.to_state) for row in walked if str(row[0]) == held["id"]] == [
        ("CREATED", "AUTHORIZED"),
        ("AUTHORIZED", "CAPTURED"),
        ("CAPTURED", "SETTLED"),
        ("SETTLED", "REFUNDED"),
    ]
    assert [(row.from_state, row.to_state) for row in walked if str(row[0]) == failed["id"]] == [
        ("CREATED", "FAILED")
    ]
    assert tuple(sorted(State)) == tuple(sorted(STATES))
    world.close_books()
    world.assert_everything_adds_up()


@pytest.mark.parametrize(("before", "after"), list(product(STATES, STATES)))
def test_each_transition_is_enforced_in_code(before: str, after: str) -> None:
    for cause in Cause:
        allowed = (before, after) in FORWARD or cause in BACK.get((before, after), ())
        if not allowed:
            with pytest.raises(IllegalTransition):
                check_transition(State(before), State(after), cause)
    if (before, after) in FORWARD | set(BACK):
        cause = next(iter(TRANSITIONS[State(before), State(after)]))
        check_transition(State(before), State(after), cause)


def test_each_transition_is_enforced_in_the_database(world: World, ada: Subscriber) -> None:
    """Plain SQL, as the application's role and as the owner: all 36 pairs of states."""
    customer = {"customer": ada.customer_id}
    for role in (APP_ROLE, None):
        with engine_as(world, role) as engine, engine.connect() as conn:
            for before, after in product(STATES, STATES):
                conn.execute(text(INSERT.format(state=before, at=captured_at(before))), customer)
                move = text(UPDATE.format(state=after, at=captured_at(after)))
                if before == after or (before, after) in FORWARD | set(BACK):
                    conn.execute(move)
                else:
                    with pytest.raises(DBAPIError, match="is no legal transition"):
                        conn.execute(move)
                conn.rollback()
            with pytest.raises(DBAPIError, match=r"check constraint|is no legal"):
                conn.execute(text(INSERT.format(state="PAID", at="NULL")), customer)
    assert count(world, "payments") == 0


INSERT = (
    "INSERT INTO payments (id, customer_id, payment_method_id, amount, currency, state,"
    " captured_at, dispatch_after, created_at, updated_at) SELECT gen_random_uuid(), customer_id,"
    " payment_method_id, 100, 'USD', '{state}', {at}, '2026-01-01', '2026-01-01',"
    " '2026-01-01' FROM provider_customers WHERE customer_id = :customer"
)
UPDATE = "UPDATE payments SET state = '{state}', captured_at = {at}"


def captured_at(state: str) -> str:
    return "'2026-01-01'" if state in ("CAPTURED", "SETTLED", "REFUNDED") else "NULL"


@contextlib.contextmanager
def engine_as(world: World, role: str | None) -> Iterator[Engine]:
    """Connect as a role; None is the owner of the tables."""
    engine = make_engine(world.runtime.settings.database.url, role=role)
    try:
        yield engine
    finally:
        engine.dispose()


# --- the ledger ---------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [APP_ROLE, None], ids=["application", "owner"])
def test_the_ledger_is_immutable(world: World, role: str | None) -> None:
    one_off(world, usd(1000))
    world.settle()
    before = balances(world)

    with engine_as(world, role) as engine:
        for table in ("ledger.entries", "ledger.postings", "ledger.accounts"):
            column = {"ledger.entries": "kind", "ledger.postings": "amount"}.get(table, "class")
            for statement in (
                f"UPDATE {table} SET {column} = {column}",
                f"DELETE FROM {table}",
                f"TRUNCATE {table} CASCADE",
            ):
                refusal = pytest.raises(DBAPIError, match=r"permission denied|append-only")
                with refusal, engine.begin() as conn:
                    conn.execute(text(statement))

    assert balances(world) == before == {"psp_clearing": 1000, "revenue": -1000}
    world.assert_everything_adds_up()


@pytest.mark.parametrize(
    "lines",
    [
        (("psp_clearing", "USD", 5),),
        (("psp_clearing", "USD", 5), ("revenue", "USD", -4)),
        (("psp_clearing", "USD", 5), ("revenue", "EUR", -5)),
    ],
    ids=["one side alone", "sides that differ", "balanced across currencies only"],
)
def test_the_ledger_is_double_entry_and_balanced(world: World, lines: Any) -> None:
    """What doesn't sum to zero in each currency isn't committed, whoever writes it."""
    one_off(world, usd(1000))
    one_off(world, Money(1000, "EUR"))
    world.settle()
    before = (balances(world), balances(world, "EUR"))
    entry = (
        "INSERT INTO ledger.entries (kind, source_key, payload_hash, effective_at)"
        " VALUES ('forged', 'forged:1', sha256('x'), now())"
    )
    posting = (
        "INSERT INTO ledger.postings (entry_id, line, account_id, amount, currency) SELECT e.id,"
        " :line, a.id, :amount, :currency FROM ledger.entries e, ledger.accounts a"
        " WHERE e.source_key = 'forged:1' AND a.code = :code AND a.currency = :currency"
    )

    for role in (APP_ROLE, None):
        with engine_as(world, role) as engine:
            refusal = pytest.raises(DBAPIError, match=r"balance|posting|lines")
            with refusal, engine.begin() as conn:
                conn.execute(text(entry))
                for line, (code, currency, amount) in enumerate(lines, start=1):
                    given = {"line": line, "code": code, "currency": currency, "amount": amount}
                    assert conn.execute(text(posting), given).rowcount == 1

    assert (balances(world), balances(world, "EUR")) == before
    world.assert_everything_adds_up()


# --- webhooks -----------------------------------------------------------------------------------


@pytest.fixture
def deliveries(world: World) -> Iterator[WebhookDeliveries]:
    """A world whose provider delivers webhooks to an endpoint."""
    with webhooks_delivered_to(world) as deliveries:
        yield deliveries


def test_webhooks_are_believed_for_their_signature_alone(
    world: World, deliveries: WebhookDeliveries
) -> None:
    forged = event(kind="payment_intent.succeeded", data={"object": {
        "id": "pi_1", "object": "payment_intent"}})  # fmt: skip

    unsigned = deliveries.endpoint.post(b'{"id": "evt_1"}', content_type="application/json")
    by_another = deliveries.endpoint.deliver(forged, secret="whsec_of_somebody_else")
    too_old = deliveries.endpoint.deliver(forged, age=3600)

    assert [each.status_code for each in (unsigned, by_another, too_old)] == [400] * 3
    assert deliveries.inbox() == []
    assert deliveries.endpoint.deliver(forged).status_code == 200
    assert len(deliveries.inbox()) == 1


def test_webhooks_are_retried_until_they_are_handled(
    world: World, deliveries: WebhookDeliveries
) -> None:
    """By the provider until we acknowledge, and by us until the provider can be asked."""
    payment_id = one_off(world, usd(1000))
    world.settle()
    deliveries.arrive()
    deliveries.handle()
    deliveries.conditions(signature="wrong_secret", retry_ms=[50] * 100)
    dispute = dispute_opened(world, payment_id)
    until(lambda: deliveries.endpoint.counted("signature_failures", reason="no_match") > 1)
    assert deliveries.inbox(type_="charge.dispute.created") == []
    deliveries.conditions(signature="good", retry_ms=[50] * 100)
    asking = {"method": "GET", "path": "/v1/disputes"}
    world.psp._control("POST", "faults", kind="reset_before", times=1, match=asking)
    deliveries.arrive()

    first = deliveries.webhooks.handle_due()
    world.wait(timedelta(seconds=5))
    deliveries.handle()

    assert [result.failed for result in first] == [True]
    assert deliveries.inbox(unhandled=True) == []
    (kept,) = deliveries.inbox(type_="charge.dispute.created")
    assert (kept.object_id, kept.last_error) == (dispute, None)
    assert kept.tries >= 2
    assert balances(world)["dispute_receivable"] == 1000
    decide(world, dispute, "lost")
    deliveries.arrive_and_handle()
    world.assert_everything_adds_up()


def test_webhooks_are_deduplicated(world: World, deliveries: WebhookDeliveries) -> None:
    """Each event twice from the provider, and once more by hand: one row, one effect."""
    deliveries.conditions(duplication=1.0)
    payment_id = one_off(world, usd(1000))
    world.settle()
    dispute = dispute_opened(world, payment_id)
    deliveries.arrive_and_handle()
    decide(world, dispute, "lost")
    deliveries.arrive_and_handle()
    before = balances(world)

    listed = deliveries.listed()
    for each in listed:
        assert deliveries.endpoint.deliver(each).status_code == 200
    deliveries.handle()

    assert sorted(row.event_id for row in deliveries.inbox()) == sorted(
        each["id"] for each in listed
    )
    assert balances(world) == before
    apply_events_of_dispute(world, dispute)
    assert balances(world) == before
    world.assert_everything_adds_up()


# --- reconciliation -----------------------------------------------------------------------------


def test_a_settlement_report_is_reconciled_corrected_and_alerted_about(
    world: World, db_url: str, tmp_path: Path
) -> None:
    """The provider's own file, taken in at the command line: agreement, drift, and the unknown."""
    world.publish(NO_TRIAL)
    good, lost = world.subscribed("monthly"), world.subscribed("monthly", "pm_sbx_stolen_card")
    world.run_until("2026-01-02")
    card = world.psp.post("payment_methods/pm_card_visa/attach", customer=lost.provider_customer_id)
    world.psp.post(
        f"payment_intents/{world.payment(lost).provider_payment_id}/confirm",
        payment_method=card["id"], off_session="true",
    )  # fmt: skip
    world.psp.take_money(700)
    world.run_until("2026-01-03")
    file = report(world, tmp_path)
    finance = Cli(tmp_path, dict(environment(
        database__url=db_url, providers__stripe__api_base=world.psp._url,
        providers__stripe__api_key="sk_test_finance",
    )))  # fmt: skip

    done = finance.run("reconcile", "import", str(file))
    breaks = finance.json("breaks", "list")

    assert done.exit_code == 3, done.output
    assert [each["kind"] for each in breaks] == ["unknown_at_provider"]
    assert (world.payment(good).state, world.payment(lost).state) == ("SETTLED", "SETTLED")
    with world.engine.connect() as conn:
        forced = conn.execute(
            text("SELECT * FROM payment_transitions WHERE cause = 'forced_correction'")
        ).all()
    assert [row.payment_id for row in forced] == [world.payment(lost).id]
    assert forced[0].evidence["charge"] == world.payment(lost).provider_charge_id
    world.assert_promises_hold()


def report(world: World, folder: Path) -> Path:
    """Return the provider's itemized report of all that it hasn't paid out."""
    columns = [
        "balance_transaction_id", "created_utc", "currency", "gross", "fee", "net",
        "reporting_category", "source_id", "charge_id", "payment_intent_id",
    ]  # fmt: skip
    wanted = {"interval_end": int(world.now.timestamp()), "columns": columns}
    made = world.psp._control(
        "POST", "reports", report_type="ending_balance_reconciliation.itemized.4",
        parameters=wanted,
    )  # fmt: skip
    path = folder / "settlement.csv"
    path.write_bytes(world.psp._http.get(made["result"]["url"], timeout=PATIENCE).content)
    return path


# --- currencies ---------------------------------------------------------------------------------


def test_a_conversion_is_an_explicit_event(world: World) -> None:
    """Charged in dollars and settled in euros: two amounts and a rate, written down once."""
    world.psp._control(
        "POST", "settings", settlement_currency={"usd": "eur"}, exchange_rates={"usd:eur": "0.9"}
    )
    payment_id = one_off(world, usd(1000))
    world.run_until("2026-01-02")

    world.close_books()
    world.close_books()

    with world.engine.connect() as conn:
        (found,) = conn.execute(text("SELECT * FROM fx_events")).all()
    assert (found.payment_id, str(found.rate)) == (payment_id, "0.9")
    assert (found.from_amount, found.from_currency) == (1000, "USD")
    assert (found.to_amount, found.to_currency) == (900, "EUR")
    assert balances(world)["fx_position"] == 1000
    assert balances(world, "EUR")["fx_position"] == -900
    for change in ("UPDATE fx_events SET rate = 1", "DELETE FROM fx_events"):
        with pytest.raises(DBAPIError, match=r"denied|append-only"), world.engine.begin() as conn:
            conn.execute(text(change))
    world.assert_promises_hold()


MIXED: dict[str, Callable[[Money, Money], object]] = {
    "+": lambda one, other: one + other,
    "-": lambda one, other: one - other,
    "<": lambda one, other: one < other,
    ">=": lambda one, other: one >= other,
}


@pytest.mark.parametrize("operation", MIXED.values(), ids=MIXED)
def test_no_arithmetic_on_mixed_currencies(operation: Callable[[Money, Money], object]) -> None:
    with pytest.raises(CurrencyMismatch):
        operation(usd(100), Money(100, "EUR"))


# --- card data ----------------------------------------------------------------------------------


def test_tokens_are_stored_and_card_data_never(
    caller: Caller, ada: Subscriber, world: World
) -> None:
    """A number is refused at both faces; what is kept of a card charges nobody without our key."""
    by_http = caller.post("/v1/payments", order_of(ada, payment_source=CARD))
    by_grpc = pb.ChargeRequest(
        idempotency_key=fresh(), amount_cents=1, currency="USD", payment_source=CARD
    )
    caller.charged(999, customer=ada.customer)

    assert (by_http.status_code, by_http.json()["code"]) == (422, "card_number_refused")
    assert refused(caller, "Charge", by_grpc) == (Code.INVALID_ARGUMENT, "card_number_refused")
    with world.engine.connect() as conn:
        (kept,) = conn.execute(text("SELECT * FROM payment_methods")).mappings().all()
        columns = conn.execute(
            text("SELECT column_name FROM information_schema.columns WHERE table_schema IN"
                 " ('public', 'ledger')")
        ).scalars().all()  # fmt: skip
        (sent,) = (
            conn.execute(text("SELECT request FROM provider_calls WHERE kind = 'charge'"))
            .scalars()
            .all()
        )
    assert set(kept) == {"id", "customer_id", "provider", "provider_payment_method_id", "kind",
                         "brand", "last4", "exp_month", "exp_year", "created_at",
                         "changed_at"}  # fmt: skip
    assert kept["provider_payment_method_id"].startswith("pm_")
    assert kept["last4"] == "4242"
    assert not [name for name in columns if name in ("card_number", "pan", "cvc", "cvv", "track")]
    assert sent["payment_method"] == kept["provider_payment_method_id"]
    world.assert_everything_adds_up()
