"""The gateway against the sandbox's Braintree: what is sent, and what each answer means."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from billing.errors import BadInput, Unavailable
from billing.gateway import (
    Absent,
    Declined,
    Deferred,
    PaymentMethodKind,
    RefundAccepted,
    Rejected,
    Succeeded,
    Unknown,
)
from billing.gateway.braintree.gateway import BraintreeGateway
from billing.gateway.errors import ProviderKeyRefused
from billing.gateway.kinds import Advice, DeclineClass, RefundStatus, RefusalReason
from billing.gateway.rate import TokenBucket
from billing.rules.dunning import METHOD_UNUSABLE
from billing.rules.money import Money
from tests.contract.braintree.shop import DAY, HOUR, PAYPAL, Shop
from tests.contract.braintree.till import BEGAN, Till, access, paid, refund_of, till

TRANSACTIONS = "/transactions"


@pytest.fixture
def shop_till(shop: Shop) -> Iterator[Till]:
    opened = till(shop)
    yield opened
    opened.gateway.close()


# What is sent


def test_a_sale_names_order_customer_method_and_our_fields(shop_till: Till) -> None:
    request = shop_till.request()

    outcome = paid(shop_till.gateway.charge(request, first_send=True))

    sale = shop_till.shop.gateway.transaction.find(outcome.provider_payment_id)
    assert sale.order_id.startswith("pay_1-")
    assert (sale.customer_details.id, sale.credit_card_details.token) == (
        shop_till.customer,
        request.payment_method,
    )
    assert sale.custom_fields == {
        f"perennial_{name}": value for name, value in request.metadata.items()
    }
    assert (str(sale.amount), sale.recurring, sale.status) == (
        "9.99",
        True,
        "submitted_for_settlement",
    )


def test_two_attempts_have_orders_of_their_own_and_one_payment(shop_till: Till) -> None:
    for n in (1, 2):
        shop_till.charged(n=n)

    orders = {sale.order_id for sale in shop_till.shop.sales()}

    assert len(orders) == 2
    assert {order.rpartition("-")[0] for order in orders} == {"pay_1"}


def test_a_currency_goes_through_the_merchant_account_that_is_named_for_it(shop: Shop) -> None:
    shop.settings(merchant_accounts={"dollars": {}, "yen": {"currency": "JPY"}})
    opened = till(shop, merchant_account_JPY="yen")

    yen = opened.charged(amount=Money(1200, "JPY"))
    dollars = opened.charged(n=2)
    opened.gateway.close()

    accounts = {each.id: each.merchant_account_id for each in shop.sales()}
    assert accounts == {yen.provider_payment_id: "yen", dollars.provider_payment_id: "dollars"}
    assert yen.amount == Money(1200, "JPY")


@pytest.mark.parametrize("named", [{}, {"merchant_account_EUR": "default"}])
def test_a_currency_that_its_merchant_account_does_not_take_is_not_sent(
    shop: Shop, named: dict[str, str]
) -> None:
    opened = Till(shop, BraintreeGateway(access(shop, credentials=named)))
    request = opened.request(amount=Money(1000, "EUR"))

    first = opened.gateway.charge(request, first_send=True)
    again = opened.gateway.charge(request, first_send=False)
    opened.gateway.close()

    assert isinstance(first, Rejected)
    assert first.error_class == "no_merchant_account"
    assert isinstance(again, Unknown)
    assert shop.sales() == []


def test_a_merchant_account_that_is_added_is_seen_by_the_next_charge(shop: Shop) -> None:
    opened = till(shop, merchant_account_EUR="euros")
    request = opened.request(amount=Money(1000, "EUR"))
    assert isinstance(opened.gateway.charge(request, first_send=True), Rejected)
    shop.settings(merchant_accounts={"default": {}, "euros": {"currency": "EUR"}})

    assert paid(opened.gateway.charge(request, first_send=True)).amount == request.amount
    opened.gateway.close()


def test_merchant_accounts_that_cannot_be_read_put_a_charge_off(shop: Shop) -> None:
    opened = till(shop)
    request = opened.request()
    for first_send in (True, False):
        shop.fault("rate_limit_429", "/merchant_accounts")

        outcome = opened.gateway.charge(request, first_send=first_send)

        assert isinstance(outcome, Deferred if first_send else Unknown)
    opened.gateway.close()
    assert shop.sales() == []


def test_fields_that_are_not_set_up_are_refused_before_money_moves(shop: Shop) -> None:
    opened = till(shop)
    shop.settings(custom_fields=["perennial_payment"])

    outcome = opened.gateway.charge(opened.request(), first_send=True)
    opened.gateway.close()

    assert isinstance(outcome, Rejected)
    assert (outcome.error_class, shop.captures()) == ("91526", 0)


@pytest.mark.parametrize("amount", [0, -5])
def test_nothing_is_sent_for_nothing(shop_till: Till, amount: int) -> None:
    outcome = shop_till.gateway.charge(
        shop_till.request(amount=Money(amount, "USD")), first_send=True
    )

    assert isinstance(outcome, Rejected)
    assert shop_till.shop.sales() == []


def test_a_key_of_other_characters_is_sent_as_a_digest(shop_till: Till) -> None:
    request = shop_till.request(idempotency_key="ключ " * 99)

    first, again = (paid(shop_till.gateway.charge(request, first_send=True)) for _ in range(2))

    assert first.provider_payment_id == again.provider_payment_id
    assert shop_till.shop.captures() == 1


# Answers that are no object


@pytest.mark.parametrize(
    ("fault", "first", "again"),
    [
        ("error_401", Deferred, Unknown),
        ("rate_limit_429", Deferred, Unknown),
        ("conflict_409", Unknown, Unknown),
        ("error_500_uncommitted", Unknown, Unknown),
        ("error_500", Unknown, Succeeded),
        ("garbage_200", Unknown, Unknown),
        ("truncated_body", Unknown, Unknown),
        ("reset_before", Unknown, Unknown),
        ("reset_after_commit", Unknown, Unknown),
    ],
)
def test_no_answer_but_a_refusal_is_definite(
    shop_till: Till, fault: str, first: type, again: type
) -> None:
    request = shop_till.request()
    for first_send, expected in ((True, first), (False, again)):
        shop_till.shop.fault(fault, TRANSACTIONS)

        outcome = shop_till.gateway.charge(request, first_send=first_send)

        assert isinstance(outcome, expected), outcome
    assert paid(shop_till.gateway.charge(request, first_send=False)).amount == request.amount
    assert shop_till.shop.captures() == 1


def test_an_answer_that_never_comes_ends_at_the_deadline(shop: Shop) -> None:
    opened = till(shop)
    request = opened.request()
    hurried = BraintreeGateway(access(shop, deadline=0.3))
    shop.fault("hang_after_commit", TRANSACTIONS, delay_ms=60_000)

    outcome = hurried.charge(request, first_send=True)
    shop.control("DELETE", "faults")

    assert isinstance(outcome, Unknown)
    # A read waits for as long as the deadline leaves: which of both ends first isn't decided.
    assert outcome.error_class in ("deadline", "timeout")
    assert paid(opened.gateway.charge(request, first_send=False)).amount == request.amount
    hurried.close()
    opened.gateway.close()


def test_a_request_that_the_rate_holds_back_is_put_off(shop: Shop) -> None:
    opened = till(shop)
    request = opened.request()
    bucket = TokenBucket(0.001, burst=1)
    assert bucket.acquire(0)
    held = BraintreeGateway(access(shop, deadline=0.1, bucket=bucket))

    first = held.charge(request, first_send=True)
    again = held.charge(request, first_send=False)
    opened.gateway.close()

    assert isinstance(first, Deferred)
    assert isinstance(again, Unknown)
    assert (first.error_class, shop.captures()) == ("not_sent", 0)


def test_each_request_is_observed_with_the_kind_of_its_failure(shop: Shop) -> None:
    seen: list[tuple[str, str | None]] = []
    opened = till(shop, observe=lambda operation, _, failure: seen.append((operation, failure)))
    request = opened.request("sbx_card_decline")
    seen.clear()
    opened.gateway.charge(request, first_send=True)
    shop.fault("error_500", TRANSACTIONS)

    opened.gateway.charge(opened.request("sbx_card_decline", 2), first_send=True)
    opened.gateway.close()

    assert seen == [("merchant_accounts", None), ("sale", None), ("sale", "server")]


def test_keys_that_are_refused_are_the_operators_to_change(shop: Shop) -> None:
    shop.sold()
    wrong = BraintreeGateway(access(shop, credentials={"private_key": "other"}))

    with pytest.raises(ProviderKeyRefused):
        wrong.check()
    wrong.close()


@pytest.mark.parametrize("missing", ["merchant_id", "public_key", "private_key"])
def test_without_all_keys_there_is_no_gateway(shop: Shop, missing: str) -> None:
    with pytest.raises(BadInput, match="not complete"):
        BraintreeGateway(access(shop, credentials={missing: ""}))


def test_an_environment_that_braintree_does_not_have_is_refused(shop: Shop) -> None:
    with pytest.raises(BadInput, match="no environment"):
        BraintreeGateway(replace(access(shop, credentials={"environment": "moon"}), api_base=None))


# What a transaction means


@pytest.mark.parametrize(
    ("nonce", "code", "decline_class", "advice"),
    [
        ("sbx_card_insufficient", "2001", DeclineClass.SOFT, None),
        ("sbx_card_expired", "2004", DeclineClass.NEEDS_CUSTOMER, None),
        ("sbx_card_stolen_card", "2013", DeclineClass.HARD, None),
        ("sbx_card_failed", "3000", DeclineClass.SOFT, None),
        ("sbx_card_advised_later", "2000", DeclineClass.SOFT, Advice.TRY_AGAIN_LATER),
        ("sbx_card_advised_never", "2000", DeclineClass.HARD, Advice.DO_NOT_TRY_AGAIN),
        (
            "sbx_card_advised_new_account",
            "2000",
            DeclineClass.NEEDS_CUSTOMER,
            Advice.CONFIRM_CARD_DATA,
        ),
        (
            "sbx_card_authentication_required",
            "authentication_required",
            DeclineClass.NEEDS_CUSTOMER,
            None,
        ),
        ("sbx_card_gateway_fraud", "gateway_rejected_fraud", DeclineClass.HARD, None),
        ("sbx_paypal_decline", "2046", DeclineClass.SOFT, None),
        ("sbx_paypal_funding", "2074", DeclineClass.NEEDS_CUSTOMER, None),
        ("sbx_paypal_revoked", "2070", DeclineClass.NEEDS_CUSTOMER, None),
        ("sbx_paypal_code2087", "2087", DeclineClass.SOFT, None),
        ("sbx_paypal_settlement_declined", "4001", DeclineClass.SOFT, None),
    ],
)
def test_a_decline_is_classified(
    shop_till: Till, nonce: str, code: str, decline_class: DeclineClass, advice: Advice | None
) -> None:
    request = shop_till.request(nonce)

    outcomes = [shop_till.gateway.charge(request, first_send=first) for first in (True, False)]

    for outcome in outcomes:
        assert isinstance(outcome, Declined)
        assert (outcome.decline_code, outcome.decline_class, outcome.advice) == (
            code,
            decline_class,
            advice,
        )
    assert len({str(outcome) for outcome in outcomes}) == 1


def test_a_paypal_account_pays_and_is_recognised(shop_till: Till) -> None:
    method = shop_till.gateway.payment_method_by_id(shop_till.token(PAYPAL))

    assert method is not None
    assert (method.kind, method.brand, method.last4) == (PaymentMethodKind.WALLET, "paypal", None)
    assert shop_till.charged(PAYPAL).captured
    (charge,) = [c for p in shop_till.gateway.list_charges(since=BEGAN) for c in p]
    assert charge.payment_method == method.token


def test_a_paypal_agreement_that_was_taken_back_belongs_to_nobody(shop_till: Till) -> None:
    token = shop_till.token(PAYPAL)

    shop_till.control(f"payment_methods/{token}", revoked=True)

    found = shop_till.gateway.payment_method_by_id(token)
    assert found is not None
    assert found.provider_customer_id is None
    assert list(shop_till.gateway.payment_methods_of(shop_till.customer)) == []
    assert isinstance(
        shop_till.gateway.charge(shop_till.request(PAYPAL), first_send=True), Declined
    )


def test_a_payment_that_paypal_leaves_pending_is_in_doubt(shop_till: Till) -> None:
    request = shop_till.request("sbx_paypal_settlement_pending")

    outcome = shop_till.gateway.charge(request, first_send=True)

    assert isinstance(outcome, Unknown)
    assert outcome.error_class == "processing"
    assert outcome.provider_payment_id is not None


def test_a_payment_method_that_was_deleted_waits_for_another(shop_till: Till) -> None:
    request = shop_till.request()
    shop_till.shop.gateway.payment_method.delete(request.payment_method)

    outcome = shop_till.gateway.charge(request, first_send=True)

    assert isinstance(outcome, Declined)
    assert (outcome.decline_code, outcome.decline_class) == (
        METHOD_UNUSABLE,
        DeclineClass.NEEDS_CUSTOMER,
    )


def test_a_payment_method_of_another_customer_is_not_charged(shop_till: Till) -> None:
    _, token = shop_till.shop.customer()

    outcome = shop_till.gateway.charge(shop_till.request(payment_method=token), first_send=True)

    assert isinstance(outcome, Declined)
    assert (outcome.decline_code, shop_till.shop.captures()) == (METHOD_UNUSABLE, 0)


def test_an_answer_about_another_amount_is_in_doubt(shop_till: Till) -> None:
    request = shop_till.request()
    sale = paid(shop_till.gateway.charge(request, first_send=True))
    shop_till.control(f"transactions/{sale.provider_payment_id}", amount="19.00")

    outcomes = (
        shop_till.gateway.charge(request, first_send=False),
        shop_till.gateway.look_up(request, since=BEGAN),
    )

    for outcome in outcomes:
        assert isinstance(outcome, Unknown)
        assert outcome.error_class == "wrong_amount"


def test_a_second_charge_for_the_same_order_is_in_doubt(shop_till: Till) -> None:
    request = shop_till.request()
    sale = paid(shop_till.gateway.charge(request, first_send=True))
    shop_till.control(f"transactions/{sale.provider_payment_id}/duplicate")

    outcome = shop_till.gateway.look_up(request, since=BEGAN)

    assert isinstance(outcome, Unknown)
    assert outcome.error_class == "several_payments"


def test_a_key_whose_request_was_refused_charges_nobody(shop: Shop) -> None:
    opened = till(shop)
    request = opened.request()
    shop.settings(custom_fields=["other"])
    shop.fault("reset_after_commit", TRANSACTIONS)
    assert isinstance(opened.gateway.charge(request, first_send=True), Unknown)
    shop.settings(custom_fields=[])

    outcome = opened.gateway.charge(request, first_send=False)
    opened.gateway.close()

    assert isinstance(outcome, Rejected)
    assert (outcome.error_class, shop.sales()) == ("915234", [])


def test_what_is_missing_from_searches_is_absent_after_their_lag(shop_till: Till) -> None:
    request = shop_till.request()

    young = shop_till.gateway.look_up(request, since=BEGAN)
    shop_till.shop.later(HOUR)

    assert isinstance(young, Unknown)
    assert young.error_class == "not_found_yet"
    assert shop_till.gateway.look_up(request, since=BEGAN) == Absent()


def test_a_search_that_fails_proves_nothing(shop_till: Till) -> None:
    request = shop_till.request()
    shop_till.shop.later(DAY)
    for _ in range(2):
        shop_till.shop.fault("error_500_uncommitted", f"{TRANSACTIONS}/advanced_search_ids")

    assert isinstance(shop_till.gateway.look_up(request, since=BEGAN), Unknown)
    assert isinstance(shop_till.gateway.find_payment(request, since=BEGAN), Deferred)


def test_threads_share_a_gateway_and_a_key_charges_once_however_many_send_it(
    shop_till: Till,
) -> None:
    own = [shop_till.request(n=n, metadata={"payment": f"pay_{n}"}) for n in range(16)]
    same = shop_till.request(n=99, metadata={"payment": "pay_99"})
    send = partial(shop_till.gateway.charge, first_send=False)

    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(send, own))
        of_one_key = list(threads.map(send, [same] * 8))

    assert len({paid(each).provider_payment_id for each in outcomes}) == 16
    sent = {each.provider_payment_id for each in of_one_key if isinstance(each, Succeeded)}
    assert len(sent) == 1
    in_flight = [each for each in of_one_key if not isinstance(each, Succeeded)]
    assert all(isinstance(each, Unknown) and each.error_class == "conflict" for each in in_flight)
    assert shop_till.shop.captures() == 17


# Authorisations


def test_an_authorisation_that_expired_is_no_payment_any_more(shop_till: Till) -> None:
    request = shop_till.request(manual_capture=True)
    payment = paid(shop_till.gateway.charge(request, first_send=True)).provider_payment_id
    shop_till.shop.later(8 * DAY)

    capture = shop_till.gateway.capture(payment, request.amount, idempotency_key="c")
    again = shop_till.gateway.charge(request, first_send=False)

    assert isinstance(capture, Rejected)
    assert capture.reason is RefusalReason.AUTHORIZATION_EXPIRED
    assert isinstance(again, Rejected)
    assert again.reason is RefusalReason.PAYMENT_CANCELED
    assert shop_till.gateway.cancel(payment, idempotency_key="v") == Absent()


def test_a_submitted_payment_is_the_customers_and_is_not_voided(shop_till: Till) -> None:
    sale = shop_till.charged()

    outcome = shop_till.gateway.cancel(sale.provider_payment_id, idempotency_key="v")

    assert paid(outcome).captured
    assert shop_till.shop.captures() == 1


def test_a_capture_that_paypal_declines_is_a_decline(shop_till: Till) -> None:
    request = shop_till.request("sbx_paypal_settlement_declined", manual_capture=True)
    payment = paid(shop_till.gateway.charge(request, first_send=True)).provider_payment_id

    outcome = shop_till.gateway.capture(payment, request.amount, idempotency_key="c")

    assert isinstance(outcome, Declined)
    assert outcome.decline_code == "4001"


@pytest.mark.parametrize("call", ["capture", "cancel"])
def test_a_payment_that_is_not_there_is_refused(shop_till: Till, call: str) -> None:
    outcome: Any
    if call == "capture":
        outcome = shop_till.gateway.capture("nothing", Money(1, "USD"), idempotency_key="k")
    else:
        outcome = shop_till.gateway.cancel("nothing", idempotency_key="k")

    assert isinstance(outcome, Rejected)


# Refunds


def test_a_refund_that_the_bank_declines_has_failed(shop_till: Till) -> None:
    sale = shop_till.settled("sbx_card_refund_declined")

    outcome = shop_till.gateway.refund(refund_of(sale, 998), first_send=True)

    assert isinstance(outcome, RefundAccepted)
    assert outcome.status in (RefundStatus.FAILED, RefundStatus.PENDING)


def test_a_refund_waits_for_the_settlement_and_keeps_its_key(shop_till: Till) -> None:
    sale = shop_till.charged()
    request = refund_of(sale)

    early = [shop_till.gateway.refund(request, first_send=first) for first in (True, False)]
    shop_till.shop.later(2 * DAY)
    late = shop_till.gateway.refund(request, first_send=False)

    for outcome in early:
        assert isinstance(outcome, Deferred)
        assert outcome.retry_after == timedelta(hours=1)
    assert isinstance(late, RefundAccepted)
    found = shop_till.gateway.refund_by_id(late.provider_refund_id)
    assert found is not None
    assert found.status is RefundStatus.PENDING
    shop_till.shop.later(2 * DAY)
    settled = shop_till.gateway.refund_by_id(late.provider_refund_id)
    assert settled is not None
    assert settled.status is RefundStatus.SUCCEEDED


def test_what_was_voided_is_never_refunded(shop_till: Till) -> None:
    sale = shop_till.charged()
    shop_till.shop.gateway.transaction.void(sale.provider_payment_id)

    assert isinstance(shop_till.gateway.refund(refund_of(sale), first_send=True), Rejected)


def test_a_refund_from_the_control_panel_is_not_ours(shop_till: Till) -> None:
    sale = shop_till.settled()
    made = shop_till.shop.gateway.transaction.refund(sale.provider_payment_id, "4.00")

    found = shop_till.gateway.refund_by_id(made.transaction.id)

    assert found is not None
    assert found.metadata == {"payment": "pay_1", "engine": "e1"}
    assert found.amount == Money(400, "USD")


def test_a_payment_is_no_refund_and_a_refund_no_payment(shop_till: Till) -> None:
    sale = shop_till.settled()
    made = shop_till.gateway.refund(refund_of(sale), first_send=True)
    assert isinstance(made, RefundAccepted)

    assert shop_till.gateway.refund_by_id(sale.provider_payment_id) is None
    assert shop_till.gateway.payment(made.provider_refund_id) is None


# The vault


def test_a_customer_whose_id_is_taken_is_the_one_we_made(shop_till: Till) -> None:
    assert shop_till.customer.startswith("p-")
    assert len(shop_till.customer) <= 36
    with pytest.raises(BadInput, match="Email"):
        shop_till.gateway.create_customer(
            name="Bob", email="no address", metadata={}, idempotency_key="b"
        )


def test_a_vaulted_method_is_attached_by_its_token(shop_till: Till) -> None:
    token = shop_till.token()
    again = shop_till.gateway.attach_payment_method(
        shop_till.customer, token, idempotency_key="other"
    )
    _, of_another = shop_till.shop.customer()

    assert again.token == token
    with pytest.raises(BadInput):
        shop_till.gateway.attach_payment_method(shop_till.customer, of_another, idempotency_key="k")


def test_a_nonce_that_was_used_up_is_what_its_customer_made_of_it_under_any_key(
    shop_till: Till,
) -> None:
    nonce = shop_till.shop.nonce()
    made = shop_till.gateway.attach_payment_method(
        shop_till.customer, nonce, idempotency_key="first"
    )
    other, _ = shop_till.shop.customer()

    again = shop_till.gateway.attach_payment_method(
        shop_till.customer, nonce, idempotency_key="second"
    )

    assert again == made
    assert len(shop_till.gateway.payment_methods_of(shop_till.customer)) == 1
    with pytest.raises(BadInput, match="more than once"):
        shop_till.gateway.attach_payment_method(other, nonce, idempotency_key="first")


def test_a_server_that_does_not_answer_is_unavailable(shop_till: Till) -> None:
    shop_till.shop.fault("error_500_uncommitted", "/customers")

    with pytest.raises(Unavailable):
        shop_till.gateway.customer_by_id(shop_till.customer)
