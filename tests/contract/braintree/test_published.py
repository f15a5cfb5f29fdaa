"""The sandbox against what the SDK itself brings: nonces, numbers, codes, sample notifications."""

import base64
import inspect
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import braintree
import pytest
from braintree.error_codes import ErrorCodes
from braintree.test.credit_card_numbers import CreditCardNumbers
from braintree.test.nonces import Nonces

from billing.sandbox.braintree.codes import VALIDATIONS
from tests.contract.braintree.shop import DAY, PAYPAL, Shop, codes
from tests.contract.braintree.test_webhooks import receiving, settle

# What stands for a payment method that the sandbox doesn't have.
OTHER_METHODS = (
    "AmexExpressCheckout",
    "AndroidPay",
    "ApplePay",
    "Europe",
    "LocalPayment",
    "Masterpass",
    "MetaCheckout",
    "SEPA",
    "SamsungPay",
    "SepaDirectDebit",
    "ThreeDSecure",
    "TransactablePinless",
    "UsBankAccount",
    "Venmo",
    "VisaCheckout",
)
EXPECTED = {
    "Consumed": "91564",
    "LuhnInvalid": "81715",
    "GatewayRejectedFraud": "gateway_rejected",
    "GatewayRejectedRiskThreshold": "gateway_rejected",
    "ProcessorDeclinedAmEx": "processor_declined",
    "ProcessorDeclinedDiscover": "processor_declined",
    "ProcessorDeclinedMasterCard": "processor_declined",
    "ProcessorDeclinedVisa": "processor_declined",
    "ProcessorFailureJCB": "failed",
}
NONCES = {name: value for name, value in vars(Nonces).items() if not name.startswith("_")}


def constants(*classes: type) -> Iterator[tuple[str, str]]:
    """Yield the constants of classes, and of those in them."""
    for each in classes:
        for name, value in vars(each).items():
            if inspect.isclass(value):
                yield from constants(value)
            elif isinstance(value, str) and not name.startswith("_"):
                yield name, value


@pytest.mark.parametrize("name", sorted(NONCES))
def test_every_nonce_of_the_sdk_does_what_its_name_says_or_is_refused(
    shop: Shop, name: str
) -> None:
    result = shop.gateway.transaction.sale(
        {"amount": "10.00", "payment_method_nonce": NONCES[name]}
    )

    if name.startswith(OTHER_METHODS):
        assert codes(result) == ["91565"]
    elif result.transaction is None:
        assert codes(result) == [EXPECTED[name]]
    else:
        assert result.transaction.status == EXPECTED.get(name, "authorized")


@pytest.mark.parametrize(
    ("name", "number"),
    [each for each in constants(CreditCardNumbers) if not each[0].startswith("_")],
)
def test_every_test_number_of_the_sdk_is_taken_and_not_kept(
    shop: Shop, name: str, number: str
) -> None:
    result = shop.gateway.transaction.sale(
        {
            "amount": "10.00",
            "credit_card": {"number": number, "expiration_date": "05/2030", "cvv": "123"},
        }
    )

    assert result.transaction is not None, name
    card = result.transaction.credit_card_details
    assert (card.bin, card.last_4) == (number[:6], number[-4:])
    assert card.card_type != "Unknown"


def test_any_other_card_number_is_refused_and_not_said_again(shop: Shop) -> None:
    card = {"number": "4539578763621486", "expiration_date": "05/2030", "cvv": "987"}

    result = shop.gateway.transaction.sale({"amount": "10.00", "credit_card": card})

    assert codes(result) == ["81717"]
    assert result.params["transaction"]["credit_card"] == {"expiration_date": "05/2030"}


def test_every_validation_code_of_the_sandbox_is_one_of_the_sdk() -> None:
    known = {value for _, value in constants(ErrorCodes)}

    assert set(VALIDATIONS) - known == set()


SAMPLED = (
    "transaction_disbursed",
    "transaction_settled",
    "transaction_settlement_declined",
    "disbursement",
    "dispute_opened",
    "dispute_won",
    "dispute_lost",
    "dispute_accepted",
    "payment_method_revoked_by_customer",
    "check",
)
# Of what the SDK's samples are about, and the sandbox doesn't have.
NOT_HERE = {
    "us_bank_account",  # its samples of settled transactions are of a bank account
    "fee_amount",
    "chargeback_protection_level",  # deprecated: the SDK warns when it is there
}


def test_a_notification_has_everything_that_the_sdks_sample_of_it_has(shop: Shop) -> None:
    with receiving(shop) as receiver:
        _, token = shop.customer(PAYPAL)
        shop.sold(nonce="sbx_paypal_settlement_declined")
        shop.control("POST", f"braintree/payment_methods/{token}", revoked=True)
        shop.control("POST", "braintree/webhooks/check")
        sale = shop.settled()
        for status in ("won", "lost", "accepted"):
            opened = shop.control("POST", "braintree/disputes", transaction=sale.id)
            if status == "accepted":
                shop.gateway.dispute.accept(opened["id"])
            else:
                shop.control("POST", f"braintree/disputes/{opened['id']}", status=status)
        shop.later(5 * DAY)
        settle(shop)

    ours = {kind: subject for kind, subject in map(_read, (post[1] for post in receiver.posts))}
    for kind in SAMPLED:
        sample = shop.gateway.webhook_testing.sample_notification(kind, "an_id")
        signature, payload = sample["bt_signature"], sample["bt_payload"]
        assert shop.gateway.webhook_notification.parse(signature, payload).kind == kind
        wanted = _paths(_read(payload.decode())[1])
        assert wanted - _paths(ours[kind]) - NOT_HERE == set(), kind


def _read(payload: str) -> tuple[str, Any]:
    root = ElementTree.fromstring(base64.b64decode(payload).strip())
    return root.findtext("kind") or "", root.find("subject")


def _paths(element: Any) -> set[str]:
    """Return the tags below the subject's own, two levels deep, without what is in arrays."""
    found: set[str] = set()
    for subject in element:
        for child in subject:
            tag = child.tag.replace("-", "_")
            if tag == "us_bank_account":
                continue
            found.add(tag)
            if child.get("type") != "array":
                found |= {f"{tag}.{each.tag.replace('-', '_')}" for each in child}
    return found


def test_the_sdk_takes_a_transaction_of_ours_as_it_takes_its_own(shop: Shop) -> None:
    """What the SDK turns into values of a type of its own has that type."""
    sale = shop.sold(options={"submit_for_settlement": False})

    assert isinstance(sale.credit_card_details, braintree.CreditCard)
    assert isinstance(sale.status_history[0], braintree.StatusEvent)
    assert isinstance(sale.customer_details, braintree.Customer)
    assert sale.authorization_expires_at > sale.created_at
    assert (sale.disputes, sale.add_ons, sale.refund_ids) == ([], [], [])
