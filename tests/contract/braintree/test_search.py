"""Searching transactions, as the SDK does it: all ids first, then page by page."""

from typing import Any

import braintree
import pytest

from tests.contract.braintree.shop import DAY, PAYPAL, Shop

SEARCH = braintree.TransactionSearch


def found(shop: Shop, *criteria: Any) -> set[str]:
    return {each.id for each in shop.gateway.transaction.search(*criteria).items}


def test_transactions_are_found_by_what_they_are(shop: Shop) -> None:
    customer, token = shop.customer()
    sale = shop.sold("10.00", payment_method_token=token, order_id="invoice-1")
    declined = shop.sale("2000.00", order_id="invoice-2").transaction
    wallet = shop.settled("30.00", PAYPAL)
    refund = shop.gateway.transaction.refund(wallet.id, "5.00").transaction

    assert found(shop, SEARCH.order_id == "invoice-1") == {sale.id}
    assert found(shop, SEARCH.order_id.starts_with("invoice")) == {sale.id, declined.id}
    assert found(shop, SEARCH.order_id == "invoice") == set()
    assert found(shop, SEARCH.customer_id == customer) == {sale.id}
    assert found(shop, SEARCH.payment_method_token == token) == {sale.id}
    assert found(shop, SEARCH.status == "processor_declined") == {declined.id}
    assert found(shop, SEARCH.status.in_list(["settled", "settling"])) == {
        sale.id,
        wallet.id,
        refund.id,
    }
    assert found(shop, SEARCH.amount.between("9.99", "30.00")) == {sale.id, wallet.id}
    assert found(shop, SEARCH.amount == "5.00") == {refund.id}
    assert found(shop, SEARCH.type == "credit") == {refund.id}
    assert found(shop, SEARCH.refund == True) == {refund.id}  # noqa: E712  the SDK's way
    assert found(shop, SEARCH.paypal_payer_email == "jane.doe@paypal.com") == {
        wallet.id,
        refund.id,
    }
    assert found(shop, SEARCH.ids.in_list([sale.id, declined.id])) == {sale.id, declined.id}
    assert found(shop, SEARCH.id == sale.id, SEARCH.status == "voided") == set()


def test_transactions_are_found_by_time(shop: Shop) -> None:
    first = shop.sold()
    shop.later(DAY)
    second = shop.sold()

    assert found(shop, SEARCH.created_at >= second.created_at) == {second.id}
    assert found(shop, SEARCH.created_at <= first.created_at) == {first.id}
    both = SEARCH.created_at.between(first.created_at, second.created_at)
    assert found(shop, both) == {first.id, second.id}
    assert found(shop, SEARCH.settled_at >= first.created_at) == set()
    assert found(shop, SEARCH.submitted_for_settlement_at == first.created_at) == {first.id}


def test_a_search_goes_on_over_pages_newest_first(shop: Shop) -> None:
    made = [shop.sold(order_id="many").id for _ in range(60)]

    result = shop.gateway.transaction.search(SEARCH.order_id == "many")

    assert result.maximum_size == 60
    assert result.ids == made[::-1]
    assert [each.id for each in result.items] == made[::-1]
    assert result.first.id == made[-1]


def test_nothing_found_is_nothing(shop: Shop) -> None:
    shop.sold()

    result = shop.gateway.transaction.search(SEARCH.order_id == "none")

    assert (result.maximum_size, list(result.items)) == (0, [])


def test_a_criterion_that_is_not_known_is_not_passed_over(shop: Shop) -> None:
    shop.sold()

    with pytest.raises(braintree.exceptions.request_timeout_error.RequestTimeoutError):
        shop.gateway.transaction.search(SEARCH.europe_bank_account_iban == "DE")


def test_a_card_is_found_by_the_ends_of_its_number(shop: Shop) -> None:
    sale = shop.sold()
    shop.sold(nonce="fake-valid-mastercard-nonce")

    assert found(shop, SEARCH.credit_card_number == "4012888888881881") == {sale.id}
    assert found(shop, SEARCH.credit_card_number.starts_with("401288")) == {sale.id}
    assert found(shop, SEARCH.credit_card_number.ends_with("1881")) == {sale.id}
    assert found(shop, SEARCH.credit_card_number == "4012888888880000") == set()
