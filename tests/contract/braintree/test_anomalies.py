"""Provider's books that differ on purpose."""

from decimal import Decimal  # noqa: TID251  the SDK's amounts

import pytest
from braintree.exceptions.not_found_error import NotFoundError

from tests.contract.braintree.shop import DAY, Shop
from tests.contract.braintree.test_settlement import fee_report


def test_an_altered_amount_is_the_amount_everywhere(shop: Shop) -> None:
    sale = shop.settled("10.00")

    shop.control("POST", f"braintree/transactions/{sale.id}", amount="19.00")
    shop.later(3 * DAY)

    found = shop.gateway.transaction.find(sale.id)
    assert (found.amount, found.disbursement_details.settlement_amount) == (
        Decimal("19.00"),
        Decimal("19.00"),
    )


def test_another_amount_can_reach_the_bank(shop: Shop) -> None:
    sale = shop.settled("10.00")

    shop.control("POST", f"braintree/transactions/{sale.id}", settlement_amount="9.50")
    shop.later(3 * DAY)

    found = shop.gateway.transaction.find(sale.id)
    assert found.amount == Decimal("10.00")
    assert found.disbursement_details.settlement_amount == Decimal("9.50")
    assert fee_report(shop, "2026-01-08")[0]["Settlement Amount"] == "9.50"


def test_a_hidden_transaction_is_found_nowhere(shop: Shop) -> None:
    sale = shop.settled("10.00")

    shop.control("POST", f"braintree/transactions/{sale.id}", hidden=True)
    shop.later(3 * DAY)

    with pytest.raises(NotFoundError):
        shop.gateway.transaction.find(sale.id)
    assert shop.sales() == []
    assert fee_report(shop, "2026-01-08") == []


def test_an_order_can_be_charged_twice(shop: Shop) -> None:
    sale = shop.sold("10.00", order_id="invoice-1")

    shop.control("POST", f"braintree/transactions/{sale.id}/duplicate")

    assert [each.order_id for each in shop.sales()] == ["invoice-1", "invoice-1"]
    assert shop.captures() == 2
