"""What is done to a transaction: submitted, voided, refunded, reversed."""

from decimal import Decimal  # noqa: TID251  the SDK's amounts

import pytest
from braintree.exceptions.not_found_error import NotFoundError

from tests.contract.braintree.shop import DAY, PAYPAL, Shop, codes, statuses

AUTHORIZE = {"submit_for_settlement": False}


def test_an_authorisation_is_submitted_whole(shop: Shop) -> None:
    sale = shop.sold("10.00", options=AUTHORIZE)

    submitted = shop.gateway.transaction.submit_for_settlement(sale.id).transaction

    assert (submitted.status, submitted.amount) == ("submitted_for_settlement", Decimal("10.00"))


def test_a_submission_of_less_lets_go_of_the_rest(shop: Shop) -> None:
    sale = shop.sold("10.00", options=AUTHORIZE)

    submitted = shop.gateway.transaction.submit_for_settlement(sale.id, "7.50").transaction

    assert submitted.amount == Decimal("7.50")
    events = {each.status: each.amount for each in submitted.status_history}
    assert events == {
        "authorized": Decimal("10.00"),
        "submitted_for_settlement": Decimal("7.50"),
    }


@pytest.mark.parametrize(("amount", "code"), [("10.01", "91522"), ("0", "81531"), ("x", "81503")])
def test_a_submission_that_cannot_be_is_refused(shop: Shop, amount: str, code: str) -> None:
    sale = shop.sold("10.00", options=AUTHORIZE)

    assert codes(shop.gateway.transaction.submit_for_settlement(sale.id, amount)) == [code]
    assert shop.gateway.transaction.find(sale.id).status == "authorized"


def test_what_is_submitted_is_not_submitted_again(shop: Shop) -> None:
    sale = shop.sold()

    assert codes(shop.gateway.transaction.submit_for_settlement(sale.id)) == ["91507"]


def test_an_authorisation_is_submitted_in_parts_until_it_is_used_up(shop: Shop) -> None:
    transactions = shop.gateway.transaction
    sale = shop.sold("10.00", options=AUTHORIZE)

    parts = [
        transactions.submit_for_partial_settlement(sale.id, each).transaction
        for each in ("6.00", "4.00")
    ]

    over = transactions.submit_for_partial_settlement(sale.id, "0.01")
    found = transactions.find(sale.id)
    assert [each.amount for each in parts] == [Decimal("6.00"), Decimal("4.00")]
    assert {each.authorized_transaction_id for each in parts} == {sale.id}
    assert found.partial_settlement_transaction_ids == [each.id for each in parts]
    assert codes(over) == ["91522"]


@pytest.mark.parametrize("options", [AUTHORIZE, {"submit_for_settlement": True}])
def test_a_sale_is_voided_before_its_batch(shop: Shop, options: dict[str, bool]) -> None:
    sale = shop.sold(options=options)

    voided = shop.gateway.transaction.void(sale.id).transaction

    shop.later(3 * DAY)
    assert voided.status == "voided"
    assert shop.gateway.transaction.find(sale.id).status == "voided"
    assert codes(shop.gateway.transaction.void(sale.id)) == ["91504"]


def test_what_is_in_a_batch_is_not_voided(shop: Shop) -> None:
    sale = shop.settled()

    assert codes(shop.gateway.transaction.void(sale.id)) == ["91504"]


@pytest.mark.parametrize("nonce", ["fake-valid-visa-nonce", PAYPAL])
def test_a_settled_sale_is_refunded_whole(shop: Shop, nonce: str) -> None:
    sale = shop.settled("10.00", nonce)

    refund = shop.gateway.transaction.refund(sale.id).transaction

    found = shop.gateway.transaction.find(sale.id)
    assert (refund.type, refund.amount) == ("credit", Decimal("10.00"))
    assert refund.refunded_transaction_id == sale.id
    assert (found.status, found.refund_ids) == ("settled", [refund.id])
    assert codes(shop.gateway.transaction.refund(sale.id)) == ["91512"]


def test_a_sale_is_refunded_in_parts_until_the_amount_is_used_up(shop: Shop) -> None:
    sale = shop.settled("10.00")

    refunds = [
        shop.gateway.transaction.refund(sale.id, each).transaction.id for each in ("3.00", "6.99")
    ]

    assert codes(shop.gateway.transaction.refund(sale.id, "0.02")) == ["91521"]
    refunds.append(shop.gateway.transaction.refund(sale.id).transaction.id)
    assert shop.gateway.transaction.find(sale.id).refund_ids == refunds
    assert shop.gateway.transaction.find(refunds[-1]).amount == Decimal("0.01")
    assert codes(shop.gateway.transaction.refund(sale.id, "0.01")) == ["91512"]


def test_a_refund_before_settlement_is_refused(shop: Shop) -> None:
    submitted, authorized = shop.sold(), shop.sold(options=AUTHORIZE)

    for sale in (submitted, authorized):
        assert codes(shop.gateway.transaction.refund(sale.id)) == ["91506"]


def test_a_refund_settles_in_its_own_batch_and_a_credit_is_not_refunded(shop: Shop) -> None:
    sale = shop.settled()
    refund = shop.gateway.transaction.refund(sale.id).transaction
    assert statuses(refund) == ["submitted_for_settlement"]

    shop.later(DAY)

    found = shop.gateway.transaction.find(refund.id)
    assert (found.status, found.settlement_batch_id != sale.settlement_batch_id) == (
        "settled",
        True,
    )
    assert codes(shop.gateway.transaction.refund(refund.id)) == ["91505"]


def test_a_voided_refund_can_be_made_again(shop: Shop) -> None:
    sale = shop.settled("10.00")
    refund = shop.gateway.transaction.refund(sale.id).transaction
    shop.gateway.transaction.void(refund.id)

    assert shop.gateway.transaction.refund(sale.id, "10.00").is_success


def test_a_hard_decline_ends_a_refund_and_a_soft_one_does_not(shop: Shop) -> None:
    sale = shop.settled("9000.00")

    hard = shop.gateway.transaction.refund(sale.id, "2004.00")
    soft = shop.gateway.transaction.refund(sale.id, "2046.00")

    assert (hard.is_success, hard.transaction.status) == (False, "processor_declined")
    assert (soft.is_success, soft.transaction.status) == (True, "submitted_for_settlement")
    assert soft.transaction.additional_processor_response == "2046 : Declined"
    assert shop.gateway.transaction.find(sale.id).refund_ids == [soft.transaction.id]


def test_a_paypal_account_can_refuse_refunds(shop: Shop) -> None:
    sale = shop.settled(nonce="sbx_paypal_refund_declined")

    result = shop.gateway.transaction.refund(sale.id)

    assert result.transaction.processor_response_code == "2065"
    assert shop.gateway.transaction.find(sale.id).refund_ids == []


def test_a_reversal_voids_what_it_can_and_refunds_the_rest(shop: Shop) -> None:
    fresh = shop.sold()
    assert shop.gateway.transaction.reverse(fresh.id).transaction.status == "voided"
    settled = shop.settled()

    reversal = shop.gateway.transaction.reverse(settled.id).transaction

    assert (reversal.type, reversal.refunded_transaction_id) == ("credit", settled.id)


def test_nothing_is_done_to_a_transaction_that_is_not_there(shop: Shop) -> None:
    transactions = shop.gateway.transaction
    for act in (
        transactions.find,
        transactions.void,
        transactions.refund,
        transactions.reverse,
        transactions.submit_for_settlement,
    ):
        with pytest.raises(NotFoundError):
            act("nothing")
