"""A call to the provider is a row before it is sent, and stays one request until it has an end."""

from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from billing.flows.payments import authorization_sending
from billing.flows.payments.authorization_sending import AuthorizationStep
from billing.flows.prove import prove
from billing.gateway import Deferred, Rejected, Unknown
from billing.presenters.findings import in_words
from billing.rules.payments import AttemptOutcome, CallKind
from billing.store.payments.provider_calls import ProviderCall
from tests import provider_calls
from tests.scenarios.money import give_back, paid, usd
from tests.scenarios.test_authorize import authorised, begun, capture, finish, void
from tests.scenarios.world import World

ANOTHER = (
    "INSERT INTO provider_calls (kind, subject_id, customer_id, n, idempotency_key, request,"
    " first_sent_at) SELECT {kind}, subject_id, customer_id, {n}, {key},"
    " request, first_sent_at FROM provider_calls WHERE kind = 'capture'"
)
CHANGE = "UPDATE provider_calls SET {} WHERE kind = 'capture'"
SILENCE = Unknown("not_answered", "the connection broke")


def calls(world: World, payment_id: UUID) -> list[ProviderCall]:
    """Return the captures and voids of a payment."""
    with world.engine.connect() as conn:
        sent = provider_calls.of_subject(conn, payment_id)
    return [call for call in sent if call.kind is not CallKind.CHARGE]


def only_call(world: World, payment_id: UUID) -> ProviderCall:
    (call,) = calls(world, payment_id)
    return call


def begun_again(world: World, payment_id: UUID) -> AuthorizationStep:
    world.wait(world.policy.unknown_backoff_max)
    return begun(world, payment_id)


def test_an_unanswered_capture_is_sent_again_as_the_same_request_under_the_same_key(
    world: World,
) -> None:
    payment_id = authorised(world)
    capture(world, payment_id)
    first = begun(world, payment_id)
    assert only_call(world, payment_id).never_executed
    finish(world, first, SILENCE)

    second = begun_again(world, payment_id)

    assert (second.idempotency_key, second.amount) == (first.idempotency_key, first.amount)
    call = only_call(world, payment_id)
    assert (call.kind, call.n, call.sends, call.answered) == (CallKind.CAPTURE, 1, 2, 1)
    assert (call.error_class, call.unknown_since) == ("not_answered", world.now)
    assert not call.never_executed
    world.wait(world.policy.lease)
    world.settle()
    assert only_call(world, payment_id).outcome is AttemptOutcome.SUCCEEDED
    world.assert_everything_adds_up()


def test_the_pause_between_sends_grows(world: World) -> None:
    payment_id = authorised(world)
    capture(world, payment_id)
    for _ in range(3):
        finish(world, begun_again(world, payment_id), SILENCE)

    world.wait(world.policy.pause(2))
    assert not world.dispatch()
    world.wait(world.policy.pause(3))
    assert world.dispatch() == [payment_id]


def test_a_send_that_was_certainly_not_executed_leaves_nothing_unknown(world: World) -> None:
    payment_id = authorised(world)
    capture(world, payment_id)
    finish(world, begun(world, payment_id), Deferred("rate_limited", "too many requests"))

    begun_again(world, payment_id)

    call = only_call(world, payment_id)
    assert (call.sends, call.unknown_since, call.never_executed) == (2, None, True)


def test_what_is_asked_for_after_a_refusal_is_another_call(world: World) -> None:
    payment_id = authorised(world)
    capture(world, payment_id)
    refused = begun(world, payment_id)
    finish(world, refused, Rejected("amount_too_large", "no"))
    capture(world, payment_id)

    again = begun(world, payment_id)

    assert again.idempotency_key != refused.idempotency_key
    assert [(call.n, call.outcome) for call in calls(world, payment_id)] == [
        (1, AttemptOutcome.REJECTED),
        (2, None),
    ]


def test_a_void_and_an_expiry_end_their_call(world: World) -> None:
    voided, expired = authorised(world), authorised(world)
    void(world, voided)
    world.settle()
    world.run_until("2026-02-01")

    for payment_id in (voided, expired):
        call = only_call(world, payment_id)
        assert (call.kind, call.outcome) == (CallKind.VOID, AttemptOutcome.SUCCEEDED)
    world.assert_everything_adds_up()


def test_what_the_provider_tells_of_itself_ends_the_call_that_waits_for_it(world: World) -> None:
    payment_id = authorised(world)
    capture(world, payment_id)
    step = begun(world, payment_id)
    outcome = authorization_sending.attempt(world.context(), step)
    heard = AuthorizationStep(
        payment_id, step.provider, step.kind, step.provider_payment_id, step.amount
    )

    finish(world, heard, outcome)

    assert only_call(world, payment_id).outcome is AttemptOutcome.SUCCEEDED
    world.assert_everything_adds_up()


# --- what the database refuses, and what the proof sees -----------------------------------------


@pytest.mark.parametrize(
    ("attack", "says"),
    [
        (CHANGE.format("request = '{}'"), "what was sent can't change"),
        (CHANGE.format("idempotency_key = 'other'"), "what was sent can't change"),
        (CHANGE.format("first_sent_at = now()"), "what was sent can't change"),
        (CHANGE.format("sends = 1"), "sends are counted forward"),
        (CHANGE.format("answered = 3"), "provider_calls_answered_were_sent"),
        (CHANGE.format("finished_at = now()"), "provider_calls_finished_with_outcome"),
        ("DELETE FROM provider_calls", "permission denied"),
        (ANOTHER.format(kind="kind", n=2, key="'k'"), "provider_calls_one_open"),
        (
            ANOTHER.format(kind="'void'", n=1, key="idempotency_key"),
            "provider_calls_own_key",
        ),
    ],
)
def test_the_database_refuses_to_change_what_was_sent(world: World, attack: str, says: str) -> None:
    payment_id = authorised(world)
    capture(world, payment_id)
    finish(world, begun(world, payment_id), SILENCE)
    begun_again(world, payment_id)

    with pytest.raises(DBAPIError, match=says), world.engine.begin() as conn:
        conn.execute(text(attack))


def test_the_database_refuses_to_change_a_call_that_has_an_end(world: World) -> None:
    capture(world, authorised(world))
    world.settle()

    with (
        pytest.raises(DBAPIError, match="is finished and can't change"),
        world.engine.begin() as conn,
    ):
        conn.execute(text(CHANGE.format("provider_request_id = 'req_other'")))


def test_the_proof_finds_a_call_that_is_open_although_its_payment_is_decided(world: World) -> None:
    payment_id = authorised(world)
    capture(world, payment_id)
    world.settle()
    assert all(result.holds for result in prove(world.engine, world.now))
    with world.engine.begin() as conn:
        conn.execute(text(ANOTHER.format(kind="'void'", n=2, key="'k'")))

    once, asked = [result for result in prove(world.engine, world.now) if not result.holds]

    assert once.promise == 2
    assert [in_words(finding) for finding in once.findings] == [
        f"{payment_id} has 1 void call(s) numbered up to 2, 1 open",
        f"payment {payment_id} is CAPTURED, but the void k of it is open",
    ]
    assert asked.promise == 5
    assert [in_words(finding) for finding in asked.findings] == [
        "the void k was sent and has no outcome, and it isn't asked for any more:"
        " what it belongs to is CAPTURED",
    ]


@pytest.mark.parametrize(
    ("tampering", "finding"),
    [
        (
            ANOTHER.format(kind="kind", n=2, key="'k'"),
            "is succeeded, but the call k of it is open, or asked for something else",
        ),
        (
            "INSERT INTO provider_calls (kind, subject_id, customer_id, provider, n,"
            " idempotency_key, request, first_sent_at, finished_at, outcome) SELECT kind,"
            " subject_id, customer_id, provider, 2, 'k', request, first_sent_at, finished_at,"
            " 'rejected' FROM provider_calls WHERE kind = 'capture'",
            "is succeeded, but the call k of it came to: rejected, or asked for something else",
        ),
        (
            "INSERT INTO provider_calls (kind, subject_id, customer_id, provider, n,"
            " idempotency_key, request, first_sent_at, finished_at, outcome) SELECT kind,"
            " subject_id, customer_id, provider, 2, 'k', request || '{\"amount\": 1}',"
            " first_sent_at, finished_at, outcome FROM provider_calls WHERE kind = 'capture'",
            "is succeeded, but the call k of it came to: succeeded, or asked for something else",
        ),
    ],
    ids=["open although decided", "refused although paid", "another amount"],
)
def test_the_proof_finds_a_call_that_does_not_fit_its_refund(
    world: World, tampering: str, finding: str
) -> None:
    refund_id = give_back(world, world.payment(paid(world)).id, usd(700))
    world.settle()
    assert all(result.holds for result in prove(world.engine, world.now))
    with world.engine.begin() as conn:
        conn.exec_driver_sql(tampering.replace("'capture'", "'refund'"))

    (promise,) = [result for result in prove(world.engine, world.now) if result.promise == 2]

    assert f"refund {refund_id} {finding}" in [in_words(each) for each in promise.findings]
