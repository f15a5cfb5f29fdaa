"""Small parts of the webhooks: what is read for them, and two loops in one process."""

import threading

import pytest

from billing.flows.webhooks.inbox import HANDLERS
from billing.gateway import PaymentMethodDetails, ProviderCustomer
from tests.unit.stripe_script import Reply, asked, gateway_with
from tests.waiting import PATIENCE
from workers.daemons.webhooks import beside

CARD = {
    "id": "pm_1", "object": "payment_method", "type": "card", "customer": "cus_1",
    "card": {"brand": "visa", "last4": "4242", "exp_month": 4, "exp_year": 2030},
}  # fmt: skip
CUSTOMER = {
    "id": "cus_1", "object": "customer", "invoice_settings": {"default_payment_method": "pm_1"},
}  # fmt: skip


def test_a_card_says_whose_it_is() -> None:
    found = gateway_with(Reply(200, CARD)).payment_method_by_id("pm_1")

    assert found == PaymentMethodDetails("pm_1", "visa", "4242", 4, 2030, "cus_1")


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


def test_every_type_has_one_handler() -> None:
    assert len(HANDLERS) == 25
    assert all(handler.__doc__ for handler in HANDLERS.values())


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
