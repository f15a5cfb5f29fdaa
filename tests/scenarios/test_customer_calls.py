"""Making a customer and attaching a payment method: one call, whatever becomes of its answer."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid5

import pytest
from sqlalchemy import text

from billing.errors import BadInput, Conflict, Unavailable
from billing.flows.customers import customers
from billing.flows.prove import prove
from billing.presenters.findings import in_words
from billing.rules.payments import AttemptOutcome, CallKind
from billing.store.payments.provider_calls import ProviderCall
from billing.store.subscriptions import customers as stored
from billing.store.subscriptions.customers import Customer
from tests import provider_calls
from tests.scenarios.world import Killed, World, die
from tests.waiting import PATIENCE

CARD = "pm_card_visa"


def fault(world: World, kind: str, path: str, times: int = 1) -> None:
    match = {"method": "POST", "path": path}
    world.psp._control("POST", "faults", kind=kind, times=times, match=match)


def create(world: World, **more: Any) -> UUID:
    return customers.create(world.context(), name="Ada", external_id="ada", **more)


def create_in_vain(world: World, kind: str) -> Customer:
    """Ask for a customer whose answer doesn't come."""
    fault(world, kind, "/v1/customers")
    with pytest.raises(Unavailable):
        create(world)
    return ada(world)


def ada(world: World) -> Customer:
    with world.engine.connect() as conn:
        row = stored.find(conn, "ada")
    assert row is not None
    return row


def calls(world: World, subject_id: UUID) -> Sequence[ProviderCall]:
    with world.engine.connect() as conn:
        return provider_calls.of_subject(conn, subject_id)


def at_provider(world: World) -> list[dict[str, Any]]:
    url = f"{world.psp._url}/v1/customers"
    found: list[dict[str, Any]] = world.psp._http.get(url, timeout=PATIENCE).json()["data"]
    return found


def token(world: World) -> str:
    """Return a payment method as a checkout page makes one: nobody's yet, and with an id."""
    return str(world.psp.post("payment_methods", type="card", **{"card[token]": "tok_visa"})["id"])


# --- a customer ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["reset_before", "reset_after_commit"])
def test_a_customer_whose_answer_was_lost_is_made_once(world: World, kind: str) -> None:
    unfinished = create_in_vain(world, kind)
    (lost,) = calls(world, unfinished.id)
    assert (lost.kind, lost.outcome, lost.sends) == (CallKind.CUSTOMER, None, 1)
    assert lost.unknown_since == world.now

    assert create(world) == unfinished.id

    (call,) = calls(world, unfinished.id)
    assert (call.idempotency_key, call.request) == (lost.idempotency_key, lost.request)
    assert (call.sends, call.outcome) == (2, AttemptOutcome.SUCCEEDED)
    assert [each["id"] for each in at_provider(world)] == [ada(world).provider_customer_id]
    world.assert_promises_hold()


def test_a_command_that_died_before_the_card_was_attached_goes_on_with_its_customer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = token(world)
    with monkeypatch.context() as patch:
        patch.setattr(customers, "set_payment_method", die)
        with pytest.raises(Killed):
            create(world, payment_method=card)
    assert ada(world).provider_customer_id is not None

    assert create(world, payment_method=card) == ada(world).id

    assert world.gateway.payment_method_by_id(card) is not None
    assert ada(world).default_payment_method_id is not None
    assert len(at_provider(world)) == 1
    with pytest.raises(Conflict, match="exists"):
        create(world, payment_method=token(world))
    world.assert_promises_hold()


def test_a_customer_who_exists_without_a_card_is_not_made_again(world: World) -> None:
    create(world)
    with pytest.raises(Conflict, match="exists"):
        create(world)
    with pytest.raises(Conflict, match="exists"):
        customers.create(
            world.context(), name="Eve", external_id="ada", payment_method=token(world)
        )
    assert len(at_provider(world)) == 1


def test_an_error_that_the_provider_repeats_under_the_key_is_not_the_end(world: World) -> None:
    unfinished = create_in_vain(world, "error_500")
    for _ in range(2):
        with pytest.raises(Unavailable):
            create(world)

    create(world)

    (call,) = calls(world, unfinished.id)
    assert (call.sends, call.outcome) == (4, AttemptOutcome.SUCCEEDED)
    assert [each["id"] for each in at_provider(world)] == [ada(world).provider_customer_id]


def test_a_customer_is_looked_up_once_the_key_may_be_forgotten(world: World) -> None:
    unfinished = create_in_vain(world, "reset_after_commit")
    (made,) = at_provider(world)
    world.jump_to("2026-01-03")

    create(world)

    assert ada(world).provider_customer_id == made["id"]
    (call,) = calls(world, unfinished.id)
    assert call.outcome is AttemptOutcome.SUCCEEDED
    assert len(at_provider(world)) == 1


def test_a_customer_who_was_never_made_is_asked_for_under_another_key(world: World) -> None:
    unfinished = create_in_vain(world, "reset_before")
    world.jump_to("2026-01-03")

    create(world)

    first, second = calls(world, unfinished.id)
    assert (first.outcome, second.outcome) == (AttemptOutcome.ABSENT, AttemptOutcome.SUCCEEDED)
    assert first.idempotency_key != second.idempotency_key
    assert len(at_provider(world)) == 1
    world.assert_promises_hold()


def test_a_customer_who_is_there_is_not_asked_for_again(world: World) -> None:
    own_id = uuid5(UUID(int=1), "ada")
    fault(world, "error_500_uncommitted", f"/v1/payment_methods/{CARD}/attach")
    with pytest.raises(Unavailable):
        create(world, customer_id=own_id, payment_method=CARD)

    assert create(world, customer_id=own_id, payment_method=CARD) == own_id

    (call,) = calls(world, own_id)
    assert call.sends == 1
    assert ada(world).default_payment_method_id is not None


def test_no_transaction_is_open_while_the_provider_is_asked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle: list[int] = []
    gateway = type(world.gateway)

    def watch(name: str) -> None:
        asked = getattr(gateway, name)

        def spy(self: Any, *args: Any, **named: Any) -> Any:
            with world.engine.connect() as conn:
                query = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in tr%'"
                idle.append(conn.execute(text(query)).scalar_one())
            return asked(self, *args, **named)

        monkeypatch.setattr(gateway, name, spy)

    watch("create_customer")
    watch("attach_payment_method")

    create(world, payment_method=CARD)

    assert idle == [0, 0]


# --- a payment method ---------------------------------------------------------------------------


def test_a_payment_method_whose_answer_was_lost_is_attached_once(world: World) -> None:
    customer_id = create(world)
    fault(world, "reset_after_commit", f"/v1/payment_methods/{CARD}/attach")
    with pytest.raises(Unavailable):
        customers.set_payment_method(world.context(), "ada", CARD)
    subject = uuid5(customer_id, CARD)
    (lost,) = calls(world, subject)

    details, _ = customers.set_payment_method(world.context(), "ada", CARD)

    (call,) = calls(world, subject)
    assert (call.kind, call.customer_id) == (CallKind.PAYMENT_METHOD, customer_id)
    assert call.idempotency_key == lost.idempotency_key
    assert (call.sends, call.outcome) == (2, AttemptOutcome.SUCCEEDED)
    with world.engine.connect() as conn:
        kept = stored.payment_methods_of(conn, customer_id)
    assert [each.provider_payment_method_id for each in kept] == [details.token]
    world.assert_promises_hold()


def test_a_payment_method_is_looked_up_once_the_key_may_be_forgotten(world: World) -> None:
    customer_id, found = create(world), token(world)
    fault(world, "reset_after_commit", f"/v1/payment_methods/{found}/attach")
    with pytest.raises(Unavailable):
        customers.set_payment_method(world.context(), "ada", found)
    world.jump_to("2026-01-03")

    details, _ = customers.set_payment_method(world.context(), "ada", found)

    assert details.token == found
    (call,) = calls(world, uuid5(customer_id, found))
    assert call.outcome is AttemptOutcome.SUCCEEDED


def test_another_token_is_another_call(world: World) -> None:
    customer_id = create(world)
    fault(world, "reset_before", f"/v1/payment_methods/{CARD}/attach")
    with pytest.raises(Unavailable):
        customers.set_payment_method(world.context(), "ada", CARD)

    customers.set_payment_method(world.context(), "ada", "pm_card_mastercard")
    customers.set_payment_method(world.context(), "ada", CARD)
    customers.set_payment_method(world.context(), "ada", CARD)

    numbers = [[call.n for call in calls(world, uuid5(customer_id, each))]
               for each in (CARD, "pm_card_mastercard")]  # fmt: skip
    assert numbers == [[1, 2], [1]], "what is attached again is asked for again"


def test_a_refusal_ends_the_call_and_the_next_one_has_another_key(world: World) -> None:
    customer_id = create(world)
    refused = "pm_card_chargeDeclined"
    for _ in range(2):
        with pytest.raises(BadInput):
            customers.set_payment_method(world.context(), "ada", refused)

    first, second = calls(world, uuid5(customer_id, refused))
    assert (first.outcome, second.outcome) == (AttemptOutcome.REJECTED, AttemptOutcome.REJECTED)
    assert first.idempotency_key != second.idempotency_key


def test_a_refusal_after_a_lost_answer_leaves_the_call_open(world: World) -> None:
    customer_id = create(world)
    refused = "pm_card_chargeDeclined"
    fault(world, "reset_before", f"/v1/payment_methods/{refused}/attach")
    with pytest.raises(Unavailable):
        customers.set_payment_method(world.context(), "ada", refused)

    with pytest.raises(BadInput):
        customers.set_payment_method(world.context(), "ada", refused)

    (call,) = calls(world, uuid5(customer_id, refused))
    assert (call.outcome, call.error_class, call.answered) == (None, "refused", 2)


# --- the proof ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tampering", "finding"),
    [
        (
            "INSERT INTO provider_calls (kind, subject_id, customer_id, provider, n,"
            " idempotency_key, request, first_sent_at) SELECT kind, subject_id, customer_id,"
            " provider, 2, 'k', request, first_sent_at FROM provider_calls"
            " WHERE kind = 'customer'",
            "customer {customer}: the customer call k is open",
        ),
        (
            "UPDATE provider_customers SET provider_customer_id = NULL",
            "came to: succeeded",
        ),
        (
            "INSERT INTO provider_calls (kind, subject_id, customer_id, provider, n,"
            " idempotency_key, request, first_sent_at, finished_at, outcome) SELECT"
            " 'payment_method', gen_random_uuid(), customer_id, provider, 1, 'k', request,"
            " first_sent_at, now(), 'succeeded' FROM provider_calls WHERE kind = 'customer'",
            "customer {customer}: the payment_method call k came to: succeeded",
        ),
    ],
    ids=["open although made", "made and not known", "attached and not kept"],
)
def test_the_proof_finds_a_call_that_does_not_fit_its_customer(
    world: World, tampering: str, finding: str
) -> None:
    customer_id = create(world)
    assert all(result.holds for result in prove(world.engine, world.now))
    with world.engine.begin() as conn:
        conn.exec_driver_sql(tampering)

    (promise,) = [result for result in prove(world.engine, world.now) if not result.holds]

    assert promise.promise == 2
    assert finding.format(customer=customer_id) in "\n".join(map(in_words, promise.findings))
