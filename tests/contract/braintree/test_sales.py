"""Sales and what becomes of them."""

from decimal import Decimal  # noqa: TID251  the SDK's amounts
from typing import Any

import pytest
from braintree.test.nonces import Nonces

from tests.contract.braintree.shop import DAY, PAYPAL, VISA, Shop, codes, statuses


def test_a_sale_says_who_paid_what_with_which_card(shop: Shop) -> None:
    customer, token = shop.customer()

    sale = shop.sold(
        "12.34",
        payment_method_token=token,
        customer_id=customer,
        order_id="invoice-1",
        custom_fields={"engine": "e1"},
        descriptor={"name": "abc*news stories"},
    )

    found = shop.gateway.transaction.find(sale.id)
    assert (found.amount, found.currency_iso_code) == (Decimal("12.34"), "USD")
    assert (found.status, found.type) == ("submitted_for_settlement", "sale")
    assert (found.order_id, found.custom_fields) == ("invoice-1", {"engine": "e1"})
    assert (found.customer_details.id, found.credit_card_details.token) == (customer, token)
    assert (found.credit_card_details.last_4, found.descriptor.name) == ("1881", "abc*news stories")
    assert found.payment_instrument_type == "credit_card"
    assert found.processor_response_code == "1000"
    assert statuses(found) == ["authorized", "submitted_for_settlement"]
    assert {event.amount for event in found.status_history} == {Decimal("12.34")}


def test_a_paypal_account_pays(shop: Shop) -> None:
    customer, token = shop.customer(PAYPAL)

    sale = shop.sold(payment_method_token=token)

    assert sale.payment_instrument_type == "paypal_account"
    assert sale.paypal_details.payer_email == "jane.doe@paypal.com"
    assert (sale.paypal_details.token, sale.customer_details.id) == (token, customer)
    assert (sale.status, sale.processor_settlement_response_code) == ("settling", "4000")


def test_the_default_payment_method_pays_for_a_customer(shop: Shop) -> None:
    customer, token = shop.customer()

    sale = shop.sold(nonce=None, customer_id=customer)

    assert sale.credit_card_details.token == token


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amount": None}, "81502"),
        ({"amount": "ten"}, "81503"),
        ({"amount": "10.001"}, "81503"),
        ({"amount": "-1.00"}, "81501"),
        ({"amount": "0.00"}, "81531"),
        ({"payment_method_nonce": None}, "91508"),
        ({"payment_method_nonce": "no-such-nonce"}, "91565"),
        ({"payment_method_nonce": Nonces.Consumed}, "91564"),
        ({"payment_method_nonce": None, "payment_method_token": "none"}, "91518"),
        ({"payment_method_nonce": None, "customer_id": "nobody"}, "91510"),
        ({"merchant_account_id": "none"}, "91513"),
        ({"order_id": "x" * 256}, "91501"),
        ({"descriptor": {"name": "no star"}}, "92201"),
        ({"tax_amount": "much"}, "81535"),
        ({"discount_amount": "-1.00"}, "915160"),
        ({"shipping_amount": "1e9"}, "915162"),
        ({"purchase_order_number": "x" * 18}, "91537"),
        ({"transaction_source": "nobody"}, "915133"),
        ({"billing_address_id": "none"}, "91702"),
    ],
)
def test_a_sale_that_cannot_be_is_refused_and_leaves_nothing(
    shop: Shop, changes: dict[str, Any], code: str
) -> None:
    result = shop.gateway.transaction.sale(
        {"amount": "10.00", "payment_method_nonce": VISA, **changes}
    )

    assert (codes(result), result.transaction) == ([code], None)
    assert shop.sales() == []


ITEM = {
    "kind": "debit",
    "name": "video-premium",
    "quantity": "1",
    "unit_amount": "10.00",
    "total_amount": "10.00",
}


def test_a_sale_keeps_its_line_items(shop: Shop) -> None:
    sale = shop.sold(line_items=[ITEM, {**ITEM, "name": "tax", "tax_amount": "1.00"}])

    items = shop.gateway.transaction_line_item.find_all(sale.id)

    assert [(each.name, each.total_amount, each.tax_amount) for each in items] == [
        ("video-premium", "10.00", None),
        ("tax", "10.00", "1.00"),
    ]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"kind": None}, "95808"),
        ({"name": "x" * 128}, "95823"),
        ({"quantity": "2147483648"}, "95812"),
        ({"unit_amount": "0"}, "95820"),
        ({"total_amount": None}, "95814"),
        ({"discount_amount": "-1"}, "95806"),
        ({"tax_amount": "x"}, "95827"),
        ({"upc_code": "1"}, "95832"),
    ],
)
def test_a_line_item_that_cannot_be_is_refused_by_its_index(
    shop: Shop, changes: dict[str, Any], code: str
) -> None:
    result = shop.sale(line_items=[ITEM, {**ITEM, **changes}])

    of_items = result.errors.for_object("transaction").for_object("line_items")
    assert [each.code for each in of_items.for_object("index_1").deep_errors] == [code]
    assert shop.sales() == []


def test_a_payment_method_of_another_customer_is_refused(shop: Shop) -> None:
    (_, token), (other, _) = shop.customer(), shop.customer()

    assert codes(shop.sale(payment_method_token=token, customer_id=other)) == ["91516"]


@pytest.mark.parametrize(
    ("amount", "status", "code", "kind", "text"),
    [
        ("2000.00", "processor_declined", "2000", "soft_declined", "Do Not Honor"),
        ("2001.00", "processor_declined", "2001", "soft_declined", "Insufficient Funds"),
        ("2004.00", "processor_declined", "2004", "hard_declined", "Expired Card"),
        ("2015.99", "processor_declined", "2015", "hard_declined", "Transaction Not Allowed"),
        ("2500.00", "processor_declined", "2500", "soft_declined", "Processor Declined"),
        (
            "3000.00",
            "failed",
            "3000",
            "soft_declined",
            "Processor Network Unavailable - Try Again",
        ),
    ],
)
def test_documented_amounts_are_declined_with_their_code(
    shop: Shop, amount: str, status: str, code: str, kind: str, text: str
) -> None:
    result = shop.sale(amount)

    sale = result.transaction
    assert (result.is_success, result.message) == (False, text)
    assert (sale.status, sale.processor_response_code) == (status, code)
    assert (sale.processor_response_type, sale.processor_response_text) == (kind, text)
    assert shop.gateway.transaction.find(sale.id).status == status
    assert shop.captures() == 0


def test_test_amounts_can_be_switched_off(shop: Shop) -> None:
    shop.settings(test_amounts=False)

    assert shop.sold("2001.00").status == "submitted_for_settlement"


@pytest.mark.parametrize(
    ("nonce", "status", "code", "reason"),
    [
        (Nonces.ProcessorDeclinedVisa, "processor_declined", "2000", None),
        (Nonces.ProcessorFailureJCB, "failed", "3000", None),
        (Nonces.GatewayRejectedFraud, "gateway_rejected", "1000", "fraud"),
        (Nonces.GatewayRejectedRiskThreshold, "gateway_rejected", "1000", "risk_threshold"),
        ("sbx_card_insufficient", "processor_declined", "2001", None),
        ("sbx_card_code2047", "processor_declined", "2047", None),
        ("sbx_card_advised_never", "processor_declined", "2000", None),
        ("sbx_card_gateway_cvv", "gateway_rejected", "1000", "cvv"),
        ("sbx_paypal_decline", "processor_declined", "2046", None),
        ("sbx_paypal_funding", "processor_declined", "2074", None),
        ("sbx_paypal_revoked", "processor_declined", "2070", None),
        ("sbx_paypal_locked", "processor_declined", "2075", None),
        ("sbx_paypal_cannot_pay", "processor_declined", "2076", None),
        ("sbx_paypal_risk", "processor_declined", "2077", None),
    ],
)
def test_a_nonce_decides_what_becomes_of_a_sale(
    shop: Shop, nonce: str, status: str, code: str, reason: str | None
) -> None:
    sale = shop.sale(nonce=nonce).transaction

    assert (sale.status, sale.processor_response_code) == (status, code)
    assert sale.gateway_rejection_reason == reason


@pytest.mark.parametrize(
    ("nonce", "advice", "text"),
    [
        ("sbx_card_advised_later", "02", "Try again later"),
        ("sbx_card_advised_never", "03", "Do not try again"),
        ("sbx_card_decline", None, None),
    ],
)
def test_a_decline_can_bring_mastercards_advice(
    shop: Shop, nonce: str, advice: str | None, text: str | None
) -> None:
    sale = shop.sale(nonce=nonce).transaction

    assert (sale.merchant_advice_code, sale.merchant_advice_code_text) == (advice, text)


@pytest.mark.parametrize(
    ("cvv", "postal_code", "reason"),
    [("200", "60622", "cvv"), ("123", "20000", "avs"), ("200", "20000", "avs_and_cvv")],
)
def test_the_gateway_rejects_what_its_rules_say(
    shop: Shop, cvv: str, postal_code: str, reason: str
) -> None:
    card = {"number": "4111111111111111", "expiration_date": "05/2030", "cvv": cvv}
    more: dict[str, Any] = {"credit_card": card, "billing": {"postal_code": postal_code}}
    assert shop.sale(nonce=None, **more).is_success

    shop.settings(gateway_rejects=["cvv", "avs"])

    sale = shop.sale(nonce=None, **more).transaction
    assert (sale.status, sale.gateway_rejection_reason) == ("gateway_rejected", reason)


def test_a_vaulted_card_goes_through_its_steps(shop: Shop) -> None:
    _, token = shop.customer("sbx_card_insufficient_2_then_ok_1_then_lost_card")

    results = [shop.sale(payment_method_token=token) for _ in range(5)]

    answered = [each.transaction.processor_response_code for each in results]
    assert answered == ["2001", "2001", "1000", "2012", "2012"]


def test_a_card_counts_its_own_sales(shop: Shop) -> None:
    (_, first), (_, second) = (shop.customer("sbx_card_ok_1_then_decline") for _ in range(2))

    assert shop.sale(payment_method_token=first).is_success
    assert shop.sale(payment_method_token=second).is_success
    assert not shop.sale(payment_method_token=first).is_success


def test_a_paypal_account_that_its_owner_revoked_pays_no_more(shop: Shop) -> None:
    _, token = shop.customer(PAYPAL)
    shop.sold(payment_method_token=token)

    shop.control("POST", f"braintree/payment_methods/{token}", revoked=True)

    sale = shop.sale(payment_method_token=token).transaction
    assert (sale.processor_response_code, sale.processor_response_type) == ("2070", "hard_declined")
    assert shop.gateway.payment_method.find(token).revoked_at is not None


def test_a_repeated_sale_is_rejected_as_duplicate_within_the_window(shop: Shop) -> None:
    shop.settings(duplicate_transaction_checking=True)
    _, token = shop.customer()
    first = shop.sold(payment_method_token=token, order_id="1")

    shop.later(29)
    twin = shop.sale(payment_method_token=token, order_id="1").transaction
    other_amount = shop.sale("11.00", payment_method_token=token, order_id="1")
    other_order = shop.sale(payment_method_token=token, order_id="2")
    shop.later(2)
    after = shop.sale(payment_method_token=token, order_id="1")

    assert (twin.status, twin.gateway_rejection_reason) == ("gateway_rejected", "duplicate")
    assert twin.id != first.id
    assert all(each.is_success for each in (other_amount, other_order, after))


def test_a_declined_sale_is_no_duplicate_of_the_next(shop: Shop) -> None:
    shop.settings(duplicate_transaction_checking=True)
    _, token = shop.customer("sbx_card_decline_1_then_ok")

    assert not shop.sale(payment_method_token=token).is_success
    assert shop.sale(payment_method_token=token).is_success


def test_duplicates_pass_where_nothing_checks_them(shop: Shop) -> None:
    assert shop.sold(order_id="1").id != shop.sold(order_id="1").id


def test_a_request_key_leaves_the_duplicate_check_out(shop: Shop) -> None:
    shop.settings(duplicate_transaction_checking=True)

    first, second = (shop.sold(order_id="1", api_request_key=key) for key in ("a", "b"))

    assert first.id != second.id


def test_an_authorisation_expires(shop: Shop) -> None:
    sale = shop.sold(options={"submit_for_settlement": False})
    assert sale.status == "authorized"

    shop.later(7 * DAY)

    found = shop.gateway.transaction.find(sale.id)
    assert (found.status, statuses(found)) == (
        "authorization_expired",
        ["authorized", "authorization_expired"],
    )
    assert codes(shop.gateway.transaction.submit_for_settlement(sale.id)) == ["91507"]


@pytest.mark.parametrize(
    ("currency", "sent", "shown"),
    [("JPY", "1200", "1200"), ("BHD", "1.234", "1.234"), ("EUR", "5", "5.00")],
)
def test_an_amount_has_the_decimals_of_its_merchant_accounts_currency(
    shop: Shop, currency: str, sent: str, shown: str
) -> None:
    shop.settings(merchant_accounts={"default": {}, "other": {"currency": currency}})

    sale = shop.sold(sent, merchant_account_id="other")

    assert (str(sale.amount), sale.currency_iso_code) == (shown, currency)
    assert sale.merchant_account_id == "other"


@pytest.mark.parametrize(("currency", "amount"), [("JPY", "12.50"), ("BHD", "1.2345")])
def test_a_fraction_that_a_currency_does_not_have_is_refused(
    shop: Shop, currency: str, amount: str
) -> None:
    shop.settings(merchant_accounts={"other": {"currency": currency}})

    assert codes(shop.sale(amount)) == ["81503"]


def test_a_credit_is_processed_and_settles(shop: Shop) -> None:
    result = shop.gateway.transaction.credit({"amount": "5.00", "payment_method_nonce": VISA})
    shop.later(DAY + 7_200)

    credit = shop.gateway.transaction.find(result.transaction.id)
    assert (credit.type, credit.processor_response_code) == ("credit", "1002")
    assert credit.status == "settled"
