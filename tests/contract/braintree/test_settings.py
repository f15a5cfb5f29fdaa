"""The settings of the Braintree side: refused when they make no sense."""

from typing import Any

import pytest

from tests.contract.braintree.shop import Shop


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"no_such_setting": 1}, "unknown setting"),
        ({"settlement_hour": 24}, "between 0 and 23"),
        ({"duplicate_window_seconds": -1}, "whole number"),
        ({"test_amounts": 1}, "true or false"),
        ({"gateway_rejects": ["luck"]}, "cvv and avs"),
        ({"merchant_accounts": {}}, "at least one"),
        ({"merchant_accounts": {"a": {"colour": "red"}}}, "takes currency"),
        ({"merchant_accounts": {"a": {"exchange_rate": "much"}}}, "exchange_rate of a"),
        ({"merchant_accounts": {"a": {"fee_rate": 0.03}}}, "is text"),
        ({"default_merchant_account": "none"}, "one of merchant_accounts"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_and_changes_nothing(
    shop: Shop, changes: dict[str, Any], why: str
) -> None:
    assert why in shop.refused("braintree/settings", **changes)
    assert shop.sold("10.00").currency_iso_code == "USD"


def test_a_merchant_account_with_transactions_stays(shop: Shop) -> None:
    shop.sold()

    assert "has transactions" in shop.refused("braintree/settings", merchant_accounts={"other": {}})
    shop.settings(merchant_accounts={"default": {}, "other": {"currency": "EUR"}})
    assert shop.sold(merchant_account_id="other").currency_iso_code == "EUR"


def test_a_merchants_settings_are_its_own(shop: Shop) -> None:
    other = Shop(shop.url)
    shop.settings(merchant_accounts={"default": {"currency": "EUR"}})

    assert shop.sold().currency_iso_code == "EUR"
    assert other.sold().currency_iso_code == "USD"
    other.close()


def test_the_merchant_accounts_are_listed(shop: Shop) -> None:
    shop.settings(merchant_accounts={"default": {}, "other": {"currency": "EUR"}})

    accounts = shop.gateway.merchant_account.all().merchant_accounts

    listed = [(each.id, each.currency_iso_code, each.default) for each in accounts.items]
    assert listed == [("default", "USD", True), ("other", "EUR", False)]
    assert shop.gateway.merchant_account.find("other").currency_iso_code == "EUR"
