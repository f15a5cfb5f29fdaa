"""PayPal at Stripe: a payment method without a number, charged by a mandate that may end."""

import csv
import io
import time
from typing import Any

import pytest
import requests
import stripe

from tests.contract.cards import charge, customer_with, declined
from tests.contract.conftest import Shop
from tests.waiting import PATIENCE

PAYPAL: dict[str, Any] = {"payment_method_types": ["paypal"]}
MIDNIGHT = 1_799_971_200  # 2027-01-15 00:00 UTC


def payer(client: stripe.StripeClient, steps: str = "") -> tuple[str, str]:
    """Return a new customer and the PayPal account attached to it."""
    return customer_with(client, f"pm_sbx_paypal{steps and '_'}{steps}")


def mandate_of(client: stripe.StripeClient, shop: Shop, method: str) -> Any:
    """Take the mandate of a payment method back, and return it as the provider has it then."""
    made = shop.control("POST", f"payment_methods/{method}/revoke")
    return client.v1.mandates.retrieve(made["id"], {"expand": ["payment_method"]})


def types(client: stripe.StripeClient) -> list[str]:
    return [event.type for event in reversed(client.v1.events.list({"limit": 100}).data)]


def test_a_wallet_has_a_payer_and_neither_number_nor_expiry(client: stripe.StripeClient) -> None:
    customer, method = payer(client)

    found = client.v1.payment_methods.retrieve(method)

    assert (found.type, found.customer) == ("paypal", customer)
    assert found.paypal is not None
    assert str(found.paypal.payer_email).endswith("@example.com")
    assert not hasattr(found, "card")


def test_each_type_is_listed_by_itself(client: stripe.StripeClient) -> None:
    customer, wallet = payer(client)
    card = client.v1.payment_methods.attach("pm_card_visa", {"customer": customer}).id

    def listed(**more: Any) -> list[str]:
        found = client.v1.customers.payment_methods.list(customer, more)  # type: ignore[arg-type]
        return [each.id for each in found.data]

    assert listed() == [card, wallet]
    assert (listed(type="card"), listed(type="paypal")) == ([card], [wallet])


def test_a_wallet_is_charged_without_its_payer(client: stripe.StripeClient) -> None:
    customer, method = payer(client)

    intent = charge(client, customer, method, **PAYPAL)

    assert (intent.status, intent.payment_method_types) == ("succeeded", ["paypal"])
    paid = client.v1.charges.retrieve(str(intent.latest_charge))
    assert paid.id.startswith("py_")
    assert paid.payment_method_details is not None
    assert paid.payment_method_details.type == "paypal"
    booked = client.v1.balance_transactions.retrieve(str(paid.balance_transaction))
    assert (booked.type, booked.reporting_category) == ("payment", "charge")
    assert (booked.amount, booked.fee, booked.net) == (2000, 88, 1912)


@pytest.mark.parametrize(
    ("steps", "code", "decline_code"),
    [
        ("declined", "payment_method_provider_decline", None),
        ("insufficient_funds", "payment_method_provider_decline", "insufficient_funds"),
        ("generic_decline", "payment_method_provider_decline", "partner_generic_decline"),
        ("limit_exceeded", "payment_method_provider_decline", "payment_limit_exceeded"),
        ("high_risk", "payment_method_provider_decline", "partner_high_risk_customer"),
        ("agreement_ended", "payment_method_provider_decline", "invalid_billing_agreement"),
        ("customer_declined", "payment_method_customer_decline", None),
        ("timeout", "payment_method_provider_timeout", None),
        ("unavailable", "payment_method_not_available", None),
    ],
)
def test_each_decline_of_a_wallet_has_its_code(
    client: stripe.StripeClient, steps: str, code: str, decline_code: str | None
) -> None:
    customer, method = payer(client, steps)

    error = declined(client, customer, method, **PAYPAL)

    assert (error.code, getattr(error, "decline_code", None)) == (code, decline_code)
    assert error.payment_intent.status == "requires_payment_method"
    failed = client.v1.charges.retrieve(error.charge)
    assert (failed.status, failed.failure_code) == ("failed", code)


def test_a_wallet_walks_through_its_steps(client: stripe.StripeClient) -> None:
    customer, method = payer(client, "ok_2_then_declined")

    paid = [charge(client, customer, method, **PAYPAL).status for _ in range(2)]

    assert paid == ["succeeded"] * 2
    for _ in range(2):
        declined(client, customer, method, **PAYPAL)


@pytest.mark.parametrize(
    "steps", ["_", "_nonsense", "_lost_card", "_mandate_revoked_1_then_ok", "_ok_2", "s"]
)
def test_a_wallets_token_that_makes_no_sense_does_not_exist(
    client: stripe.StripeClient, steps: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="No such PaymentMethod"):
        customer_with(client, f"pm_sbx_paypal{steps}")


@pytest.mark.parametrize(
    ("token", "named"), [("pm_sbx_paypal", "card"), ("pm_card_visa", "paypal")]
)
def test_an_intent_takes_only_the_types_that_it_names(
    client: stripe.StripeClient, token: str, named: str
) -> None:
    customer, method = customer_with(client, token)

    with pytest.raises(stripe.InvalidRequestError, match=rf"following types: {named}") as caught:
        charge(client, customer, method, payment_method_types=[named])

    assert caught.value.code == "payment_intent_incompatible_payment_method"
    assert client.v1.charges.list().data == []


def test_a_declined_intent_goes_on_with_another_type_once_it_names_it(
    client: stripe.StripeClient,
) -> None:
    customer, wallet = payer(client, "declined")
    card = client.v1.payment_methods.attach("pm_card_visa", {"customer": customer}).id
    intent = declined(client, customer, wallet, **PAYPAL).payment_intent.id
    confirm = client.v1.payment_intents.confirm

    with pytest.raises(stripe.InvalidRequestError, match="not allowed"):
        confirm(intent, {"payment_method": card, "off_session": True})
    named: Any = {"payment_method": card, "payment_method_types": ["card"], "off_session": True}
    paid = confirm(intent, named)

    assert (paid.status, paid.payment_method_types) == ("succeeded", ["card"])


def test_a_currency_that_paypal_does_not_take_is_refused(client: stripe.StripeClient) -> None:
    customer, method = payer(client)

    with pytest.raises(stripe.InvalidRequestError, match=r"\(jpy\) is invalid"):
        charge(client, customer, method, currency="jpy", **PAYPAL)

    assert charge(client, customer, method, currency="eur", **PAYPAL).status == "succeeded"


# What its payer takes back


def test_a_mandate_that_its_payer_took_back_is_told_and_never_works_again(
    client: stripe.StripeClient, shop: Shop
) -> None:
    customer, method = payer(client)
    charge(client, customer, method, **PAYPAL)

    mandate = mandate_of(client, shop, method)
    again = mandate_of(client, shop, method)

    assert (mandate.status, again.status) == ("inactive", "inactive")
    assert mandate.payment_method.id == method
    assert types(client)[-1] == "mandate.updated"
    assert types(client).count("mandate.updated") == 1
    with pytest.raises(stripe.InvalidRequestError) as caught:
        charge(client, customer, method, **PAYPAL)
    assert caught.value.code == "payment_intent_mandate_invalid"


def test_a_card_has_no_mandate_to_take_back(client: stripe.StripeClient, shop: Shop) -> None:
    _, card = customer_with(client)

    answer = requests.post(
        f"{shop.url}/_sandbox/payment_methods/{card}/revoke", json={}, timeout=PATIENCE
    )

    assert (answer.status_code, "has no mandate" in answer.text) == (400, True)


@pytest.mark.parametrize(
    ("steps", "payments"), [("ok_2_then_mandate_revoked", 2), ("mandate_revoked", 0)]
)
def test_a_payer_takes_the_mandate_back_by_a_step(
    client: stripe.StripeClient, steps: str, payments: int
) -> None:
    customer, method = payer(client, steps)
    for _ in range(payments):
        charge(client, customer, method, **PAYPAL)

    with pytest.raises(stripe.InvalidRequestError, match="mandate"):
        charge(client, customer, method, **PAYPAL)

    assert ("mandate.updated" in types(client)) is (payments > 0)


# What happens to the money


def test_a_payment_by_wallet_is_refunded_in_parts(client: stripe.StripeClient) -> None:
    intent = charge(client, *payer(client), **PAYPAL).id

    first = client.v1.refunds.create({"payment_intent": intent, "amount": 500})
    rest = client.v1.refunds.create({"payment_intent": intent})

    assert (first.amount, rest.amount) == (500, 1500)
    assert first.id.startswith("pyr_")
    assert first.destination_details is not None
    assert first.destination_details.type == "paypal"
    booked = client.v1.balance_transactions.list({"type": "payment_refund"}).data
    assert [each.amount for each in booked] == [-1500, -500]
    assert {each.reporting_category for each in booked} == {"refund"}


@pytest.mark.parametrize(
    ("steps", "status"), [("refund_fail", "failed"), ("refund_pending", "succeeded")]
)
def test_a_refund_to_a_wallet_waits_or_fails(
    client: stripe.StripeClient, shop: Shop, steps: str, status: str
) -> None:
    shop.control("POST", "clock", now=MIDNIGHT)
    intent = charge(client, *payer(client, steps), **PAYPAL).id
    made = client.v1.refunds.create({"payment_intent": intent})

    shop.control("POST", "clock", now=MIDNIGHT + 61)

    assert client.v1.refunds.retrieve(made.id).status == status


def test_a_payer_asks_first_and_charges_back_then(client: stripe.StripeClient, shop: Shop) -> None:
    charge(client, *payer(client, "inquiry"), **PAYPAL)
    (asked,) = client.v1.disputes.list().data
    nothing = client.v1.balance_transactions.list({"type": "adjustment"}).data

    shop.control("POST", f"disputes/{asked.id}", outcome="escalated")

    dispute = client.v1.disputes.retrieve(asked.id)
    assert (asked.status, nothing) == ("warning_needs_response", [])
    assert dispute.payment_method_details is not None
    assert dispute.payment_method_details.type == "paypal"
    assert dispute.payment_method_details.paypal is not None
    assert dispute.payment_method_details.paypal.reason_code == (
        "MERCHANDISE_OR_SERVICE_NOT_RECEIVED"
    )
    assert dispute.status == "needs_response"
    assert [each.amount for each in dispute.balance_transactions] == [-2000]


def test_a_report_tells_the_types_apart(client: stripe.StripeClient, shop: Shop) -> None:
    shop.control("POST", "clock", now=MIDNIGHT)
    charge(client, *customer_with(client))
    paid = charge(client, *payer(client), **PAYPAL).id
    client.v1.refunds.create({"payment_intent": paid, "amount": 500, "metadata": {"case": "7"}})
    shop.control("POST", "clock", now=MIDNIGHT + 2 * 86_400)
    payout = shop.control("POST", "payouts", currency="usd")
    columns = ["payment_method_type", "card_brand", "gross", "refund_metadata[case]"]
    run = client.v1.reporting.report_runs.create(
        {
            "report_type": "payout_reconciliation.by_id.itemized.4",
            "parameters": {"payout": payout["id"], "columns": columns},
        }
    )
    while run.status == "pending":
        time.sleep(0.02)
        run = client.v1.reporting.report_runs.retrieve(run.id)
    assert run.result is not None

    rows = csv.reader(io.StringIO(requests.get(str(run.result.url), timeout=PATIENCE).text))

    assert list(rows)[1:] == [
        ["card", "visa", "20.00", ""],
        ["paypal", "", "20.00", ""],
        ["paypal", "", "-5.00", "7"],
    ]
