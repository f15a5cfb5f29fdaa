"""Customers and what they pay with."""

from typing import Any

import braintree
import pytest
from braintree.exceptions.authentication_error import AuthenticationError
from braintree.exceptions.not_found_error import NotFoundError
from braintree.test.credit_card_numbers import CreditCardNumbers
from braintree.test.nonces import Nonces

from tests.contract.braintree.shop import DAY, PAYPAL, VISA, Shop, codes


def test_a_customer_is_created_found_changed_and_deleted(shop: Shop) -> None:
    customers = shop.gateway.customer
    made = customers.create({"first_name": "Ada", "email": "ada@example.com"}).customer

    assert customers.find(made.id).email == "ada@example.com"
    assert customers.update(made.id, {"last_name": "Byron"}).is_success
    found = customers.find(made.id)
    assert (found.first_name, found.last_name, found.payment_methods) == ("Ada", "Byron", [])
    assert customers.delete(made.id).is_success
    with pytest.raises(NotFoundError):
        customers.find(made.id)


def test_a_customer_brings_a_payment_method_along(shop: Shop) -> None:
    result = shop.gateway.customer.create({"id": "ada", "payment_method_nonce": PAYPAL})

    (account,) = shop.gateway.customer.find("ada").paypal_accounts
    assert result.is_success
    assert (account.email, account.default) == ("jane.doe@paypal.com", True)
    assert account.billing_agreement_id.startswith("B-")


def test_an_id_belongs_to_one_customer_of_a_merchant(shop: Shop) -> None:
    other = Shop(shop.url)
    shop.gateway.customer.create({"id": "ada", "first_name": "Ada"})

    assert codes(shop.gateway.customer.create({"id": "ada"})) == ["91609"]
    assert other.gateway.customer.create({"id": "ada", "first_name": "Ida"}).is_success
    assert shop.gateway.customer.find("ada").first_name == "Ada"
    other.close()


def test_customers_are_searched_by_id_and_time(shop: Shop) -> None:
    search = braintree.CustomerSearch
    first = shop.gateway.customer.create({"first_name": "Ada"}).customer
    shop.later(DAY)
    second = shop.gateway.customer.create({"first_name": "Bob"}).customer

    by_id = shop.gateway.customer.search(search.id == first.id)
    by_time = shop.gateway.customer.search(search.created_at >= second.created_at)
    both = shop.gateway.customer.search(
        search.created_at.between(first.created_at, second.created_at)
    )

    assert [each.id for each in by_id.items] == [first.id]
    assert [each.id for each in by_time.items] == [second.id]
    assert {each.id for each in both.items} == {first.id, second.id}


def test_a_card_keeps_its_ends_and_no_more(shop: Shop) -> None:
    customer, token = shop.customer(VISA)

    card = shop.gateway.payment_method.find(token)

    assert (card.bin, card.last_4, card.card_type) == ("401288", "1881", "Visa")
    assert (card.expiration_month, card.expiration_year, card.expired) == ("12", "2030", False)
    assert (card.customer_id, card.default) == (customer, True)
    assert len(card.unique_number_identifier) == 32


@pytest.mark.parametrize(
    ("nonce", "card_type", "last4"),
    [
        (Nonces.TransactableMasterCard, "MasterCard", "4444"),
        (Nonces.TransactableAmEx, "American Express", "0005"),
        (Nonces.TransactableDiscover, "Discover", "1117"),
        (Nonces.TransactableJCB, "JCB", "0000"),
        (Nonces.TransactableDinersClub, "Diners Club", "0004"),
        (Nonces.TransactableMaestro, "Maestro", "0000"),
    ],
)
def test_a_published_nonce_is_a_card_of_its_network(
    shop: Shop, nonce: str, card_type: str, last4: str
) -> None:
    card = shop.gateway.payment_method.find(shop.customer(nonce)[1])

    assert (card.card_type, card.last_4) == (card_type, last4)


def test_two_vaulted_payment_methods_have_two_tokens_and_one_default(shop: Shop) -> None:
    customer, first = shop.customer(VISA)
    second = shop.gateway.payment_method.create(
        {
            "customer_id": customer,
            "payment_method_nonce": PAYPAL,
            "token": "wallet",
            "options": {"make_default": True},
        }
    ).payment_method

    methods = {each.token: each.default for each in _methods(shop, customer)}

    assert (second.token, methods) == ("wallet", {first: False, "wallet": True})


def test_a_token_that_is_taken_is_refused_and_nothing_is_vaulted(shop: Shop) -> None:
    customer, token = shop.customer(VISA)
    again = {"customer_id": customer, "payment_method_nonce": PAYPAL, "token": token}

    assert codes(shop.gateway.payment_method.create(again)) == ["91719"]
    assert [each.token for each in _methods(shop, customer)] == [token]


def test_a_deleted_payment_method_is_gone_and_the_next_becomes_the_default(shop: Shop) -> None:
    customer, first = shop.customer(VISA)
    second = shop.gateway.payment_method.create(
        {"customer_id": customer, "payment_method_nonce": PAYPAL}
    ).payment_method

    shop.gateway.payment_method.delete(first)

    assert [(each.token, each.default) for each in _methods(shop, customer)] == [
        (second.token, True)
    ]
    with pytest.raises(NotFoundError):
        shop.gateway.payment_method.find(first)
    assert codes(shop.sale(payment_method_token=first)) == ["91518"]


def test_a_card_gets_a_new_expiry(shop: Shop) -> None:
    _, token = shop.customer(VISA)

    result = shop.gateway.payment_method.update(token, {"expiration_date": "07/2040"})

    assert result.is_success
    assert shop.gateway.payment_method.find(token).expiration_date == "07/2040"


@pytest.mark.parametrize(
    ("nonce", "code"),
    [
        ("no-such-nonce", "93108"),
        (Nonces.Consumed, "93107"),
        (Nonces.LuhnInvalid, "81715"),
        (Nonces.PayPalOneTimePayment, "82902"),
        ("sbx_card_no_such_step", "93108"),
        ("sbx_card_ok_2", "93108"),
    ],
)
def test_what_cannot_be_vaulted_is_refused_with_its_code(shop: Shop, nonce: str, code: str) -> None:
    customer = shop.gateway.customer.create({}).customer

    result = shop.gateway.payment_method.create(
        {"customer_id": customer.id, "payment_method_nonce": nonce}
    )

    assert codes(result) == [code]
    assert _methods(shop, customer.id) == []


def test_a_card_that_fails_its_verification_is_not_vaulted(shop: Shop) -> None:
    customer = shop.gateway.customer.create({}).customer

    result = shop.gateway.payment_method.create(
        {
            "customer_id": customer.id,
            "payment_method_nonce": Nonces.ProcessorDeclinedVisa,
            "options": {"verify_card": True},
        }
    )

    assert not result.is_success
    assert result.credit_card_verification.processor_response_code == "2000"
    assert _methods(shop, customer.id) == []


def test_a_card_that_passes_its_verification_says_so(shop: Shop) -> None:
    customer = shop.gateway.customer.create({}).customer

    card = shop.gateway.payment_method.create(
        {
            "customer_id": customer.id,
            "payment_method_nonce": VISA,
            "options": {"verify_card": True},
        }
    ).payment_method

    assert card.verification.status == "verified"


def test_a_nonce_made_of_a_vaulted_method_is_good_for_once(shop: Shop) -> None:
    _, token = shop.customer(VISA)
    nonce = shop.gateway.payment_method_nonce.create(token).payment_method_nonce.nonce

    first, second = shop.sale(nonce=nonce), shop.sale(nonce=nonce)

    assert first.transaction.credit_card_details.token == token
    assert codes(second) == ["91564"]


def test_a_public_key_belongs_to_the_private_key_it_first_came_with(shop: Shop) -> None:
    shop.gateway.customer.create({})

    with pytest.raises(AuthenticationError):
        shop.client(private_key="another").customer.create({})


def test_a_merchant_sees_nothing_of_another_one(shop: Shop) -> None:
    other = Shop(shop.url)
    sale = shop.sold()

    with pytest.raises(NotFoundError):
        other.gateway.transaction.find(sale.id)
    assert other.sales() == []
    other.close()


def _methods(shop: Shop, customer: str) -> list[Any]:
    return list(shop.gateway.customer.find(customer).payment_methods)


INDICATORS = CreditCardNumbers.CardTypeIndicators
ISSUED = {
    INDICATORS.Healthcare: ("J3", "Unknown", "Unknown"),
    INDICATORS.Payroll: ("MSA", "Unknown", "Unknown"),
    INDICATORS.No: ("MSB", "Unknown", "Unknown"),
    INDICATORS.IssuingBank: ("Unknown", "NETWORK ONLY", "Unknown"),
    INDICATORS.CountryOfIssuance: ("Unknown", "Unknown", "USA"),
    INDICATORS.Unknown: ("Unknown", "Unknown", "Unknown"),
}


@pytest.mark.parametrize(("number", "issued"), ISSUED.items())
def test_test_numbers_tell_what_is_known_of_their_issuer(
    shop: Shop, number: str, issued: tuple[str, str, str]
) -> None:
    customer = shop.gateway.customer.create({}).customer
    card = shop.gateway.credit_card.create(
        {"customer_id": customer.id, "number": number, "expiration_date": "05/2030"}
    ).credit_card

    assert (card.product_id, card.issuing_bank, card.country_of_issuance) == issued
