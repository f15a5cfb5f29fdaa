"""The request of a charge is kept whole, and one of an earlier version is sent as it was."""

from typing import Any

import pytest

from billing.flows.payments.charge_requests import request_from_json, request_to_json
from billing.gateway import ChargeRequest
from billing.gateway.stripe.gateway import _charge_call
from billing.rules.money import Money
from billing.rules.payment_methods import PaymentMethodKind, method_type

OLD: dict[str, Any] = {
    "idempotency_key": "live:sub_1:20260301T000000Z:a1",
    "amount": 999,
    "currency": "USD",
    "provider_customer_id": "cus_1",
    "payment_method": "pm_1",
    "provider_payment_id": None,
    "manual_capture": False,
    "description": "",
    "metadata": {"payment": "pay_1"},
}


def test_a_request_of_before_there_were_wallets_is_of_a_card_and_stays_as_it_was() -> None:
    request = request_from_json(OLD)

    _, created = _charge_call(request)
    confirmed = _charge_call(request_from_json({**OLD, "provider_payment_id": "pi_1"}))

    assert request_to_json(request) == OLD
    assert created["payment_method_types"] == ["card"]
    assert confirmed == (
        "/v1/payment_intents/pi_1/confirm",
        {"payment_method": "pm_1", "off_session": True},
    )


@pytest.mark.parametrize("type_", ["card", "paypal"])
@pytest.mark.parametrize("intent", [None, "pi_1"])
def test_a_request_names_the_type_of_what_it_charges_each_time(
    type_: str, intent: str | None
) -> None:
    request = ChargeRequest(
        "k", Money(999, "USD"), "cus_1", "pm_1", provider_payment_id=intent, method_type=type_
    )

    kept = request_from_json(request_to_json(request))

    assert kept == request
    assert _charge_call(kept)[1]["payment_method_types"] == [type_]


@pytest.mark.parametrize(
    ("kind", "brand", "expected"),
    [
        (PaymentMethodKind.CARD, "visa", "card"),
        (PaymentMethodKind.WALLET, "paypal", "paypal"),
        (PaymentMethodKind.WALLET, None, "wallet"),
        (PaymentMethodKind.BANK, None, "bank"),
    ],
)
def test_a_card_is_a_card_and_a_wallet_goes_by_its_name(
    kind: PaymentMethodKind, brand: str | None, expected: str
) -> None:
    assert method_type(kind, brand) == expected
