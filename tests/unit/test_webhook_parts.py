"""Small parts of the webhooks: what is read for them, and two loops in one process."""

import threading
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from sqlalchemy import Engine

from billing.flows.context import Context
from billing.flows.policy import Policy
from billing.flows.webhooks.handling import HANDLERS
from billing.flows.webhooks.results import EventOutcome
from billing.gateway import EventKind, PaymentMethodDetails, ProviderCustomer
from billing.gateway.stripe.events import EVENT_KINDS, kind_of
from billing.presenters.event_outcomes import came_of
from billing.rules.payment_methods import PaymentMethodKind
from billing.workers.daemons.webhooks import beside
from tests.unit.stripe_script import Reply, asked, gateway_with
from tests.waiting import PATIENCE

CARD = {
    "id": "pm_1", "object": "payment_method", "type": "card", "customer": "cus_1",
    "card": {"brand": "visa", "last4": "4242", "exp_month": 4, "exp_year": 2030},
}  # fmt: skip
CUSTOMER = {
    "id": "cus_1", "object": "customer", "invoice_settings": {"default_payment_method": "pm_1"},
}  # fmt: skip


def test_a_card_says_whose_it_is() -> None:
    found = gateway_with(Reply(200, CARD)).payment_method_by_id("pm_1")

    assert found == PaymentMethodDetails(
        "pm_1", PaymentMethodKind.CARD, "visa", "4242", 4, 2030, "cus_1"
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (CUSTOMER, ProviderCustomer("cus_1", "pm_1")),
        (CUSTOMER | {"invoice_settings": {"default_payment_method": {"id": "pm_2"}}},
         ProviderCustomer("cus_1", "pm_2")),
        (CUSTOMER | {"invoice_settings": None}, ProviderCustomer("cus_1", None)),
        ({"id": "cus_1", "object": "customer", "deleted": True},
         ProviderCustomer("cus_1", None, deleted=True)),
    ],
)  # fmt: skip
def test_a_customer_is_read_with_their_default(
    body: dict[str, object], expected: ProviderCustomer
) -> None:
    gateway = gateway_with(Reply(200, body))

    assert gateway.customer_by_id("cus_1") == expected
    assert asked(gateway) == [("get", "/v1/customers/cus_1")]


def test_the_refunds_of_one_charge_are_asked_for_alone() -> None:
    gateway = gateway_with(Reply(200, {"object": "list", "data": [], "has_more": False}))

    assert list(gateway.list_refunds(since=None, charge="ch_1")) == []
    assert asked(gateway) == [("get", "/v1/refunds?charge=ch_1&limit=100")]


def test_every_kind_but_other_has_a_handler_and_a_type_of_the_provider() -> None:
    assert set(HANDLERS) == set(EVENT_KINDS.values()) == set(EventKind) - {EventKind.OTHER}
    assert all(handler.__doc__ for handler in HANDLERS.values())
    assert len(EVENT_KINDS) == 26
    assert kind_of("invoice.paid") is EventKind.OTHER


FACTS: dict[str, dict[str, object]] = {
    "answer_adopted": {"attempt": 2, "answer": "captured"},
    "attempt_not_there": {"attempt": 2},
    "authorization_ended": {"state": "CAPTURED"},
    "capture_undone": {"code": "4001"},
    "break_recorded": {"kind": "duplicate_charge"},
    "refund_applied": {"re_1": "succeeded", "re_2": "not_ours"},
    "dispute_applied": {"state": "won", "entries": 2},
    "payout_recorded": {"status": "paid"},
    "method_added": {"default": True, "payments_retried": 1},
    "method_updated": {"default": True, "payments_retried": 0},
    "method_detached": {"default": False},
    "default_restored": {"default": True, "payments_retried": 2},
}


@pytest.mark.parametrize("outcome", EventOutcome)
def test_every_outcome_has_its_words(outcome: EventOutcome) -> None:
    words = came_of(outcome, FACTS.get(outcome, {}))

    assert words
    assert outcome != words


@pytest.mark.parametrize(
    ("handling", "facts", "words"),
    [
        (None, {}, None),
        ("a sentence of an earlier version", {}, "a sentence of an earlier version"),
        (
            "refund_applied",
            {"re_1": "succeeded", "re_2": "not_ours"},
            "refund re_1 is succeeded; refund re_2 is not ours",
        ),
        ("method_added", {"default": True, "payments_retried": 0}, "a new payment method"),
        (
            "method_updated",
            {"default": True, "payments_retried": 1},
            "the payment method was updated: 1 payments are tried again",
        ),
    ],
)
def test_what_came_of_an_event_is_said_with_its_facts(
    handling: str | None, facts: dict[str, object], words: str | None
) -> None:
    assert came_of(handling, facts) == words


class Counting:
    """A clock that is a second later each time it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def now(self) -> datetime:
        self.asked += 1
        return datetime(2026, 1, 1, second=self.asked, tzinfo=UTC)

    def wall(self) -> datetime:
        return self.now() + timedelta(days=1)


def test_all_handlers_of_a_batch_see_one_instant() -> None:
    context = Context(cast(Engine, None), Policy(), Counting())

    stopped = context.at_one_instant()

    assert {stopped.clock.now() for _ in range(3)} == {datetime(2026, 1, 1, second=1, tzinfo=UTC)}
    assert {stopped.clock.wall() for _ in range(3)} == {datetime(2026, 1, 2, second=2, tzinfo=UTC)}
    assert context.clock.now() == datetime(2026, 1, 1, second=3, tzinfo=UTC)


class Loop:
    """A loop that ends when it is told to, or by an error of its own."""

    def __init__(self, error: Exception | None = None) -> None:
        self.stopped = threading.Event()
        self._error = error

    def run(self) -> None:
        if self._error is not None:
            raise self._error
        assert self.stopped.wait(PATIENCE)

    def stop(self) -> None:
        self.stopped.set()


def test_two_loops_end_together_when_they_are_told_to() -> None:
    run, stop = beside(Loop(), Loop())
    process = threading.Thread(target=run)
    process.start()

    stop()

    process.join(10)
    assert not process.is_alive()


def test_an_error_in_one_loop_ends_the_process_and_is_not_lost() -> None:
    first, second = Loop(), Loop(RuntimeError("a bug"))

    with pytest.raises(RuntimeError, match="a bug"):
        beside(first, second)[0]()

    assert first.stopped.is_set()


def test_an_error_in_the_first_loop_ends_the_second() -> None:
    first, second = Loop(RuntimeError("a bug")), Loop()

    with pytest.raises(RuntimeError, match="a bug"):
        beside(first, second)[0]()

    assert second.stopped.is_set()
