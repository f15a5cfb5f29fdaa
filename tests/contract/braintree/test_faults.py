"""Each fault on Braintree's paths, as the SDK sees it, and what is true afterwards."""

import xml.parsers.expat

import pytest
from braintree.exceptions.authentication_error import AuthenticationError
from braintree.exceptions.http.connection_error import ConnectionError as LineCut
from braintree.exceptions.http.timeout_error import ReadTimeoutError
from braintree.exceptions.server_error import ServerError
from braintree.exceptions.too_many_requests_error import TooManyRequestsError

from tests.contract.braintree.shop import Shop, codes
from tests.waiting import PATIENCE, until

KEY = "key-1"


@pytest.mark.parametrize(
    ("kind", "error", "executed"),
    [
        ("hang_before", LineCut, False),
        ("reset_before", LineCut, False),
        ("error_500_uncommitted", ServerError, False),
        ("rate_limit_429", TooManyRequestsError, False),
        ("error_401", AuthenticationError, False),
        ("hang_after_commit", LineCut, True),
        ("reset_after_commit", LineCut, True),
        ("truncated_body", Exception, True),
        ("garbage_200", xml.parsers.expat.ExpatError, True),
        ("error_500", ServerError, True),
    ],
)
def test_each_fault_fires_once_and_the_same_key_tells_the_truth(
    shop: Shop, kind: str, error: type[Exception], executed: bool
) -> None:
    shop.fault(kind, "/transactions", delay_ms=50)

    with pytest.raises(error):
        shop.sale(api_request_key=KEY)

    assert shop.captures() == int(executed)
    assert shop.sale(api_request_key=KEY).is_success
    assert shop.captures() == 1


@pytest.mark.parametrize("kind", ["reset_before", "reset_after_commit", "error_500"])
def test_a_lost_answer_to_a_refund_is_asked_for_with_its_key(shop: Shop, kind: str) -> None:
    sale = shop.settled("10.00")
    refund = {"amount": "4.00", "api_request_key": KEY}
    shop.fault(kind, f"/transactions/{sale.id}/refund")

    with pytest.raises((LineCut, ServerError)):
        shop.gateway.transaction.refund(sale.id, refund)

    again = shop.gateway.transaction.refund(sale.id, refund)
    assert again.is_success
    assert shop.gateway.transaction.find(sale.id).refund_ids == [again.transaction.id]


def test_without_a_key_a_repetition_charges_again(shop: Shop) -> None:
    shop.fault("reset_after_commit", "/transactions")

    with pytest.raises(LineCut):
        shop.sale(order_id="1")
    shop.sold(order_id="1")

    assert shop.captures() == 2
    assert shop.control("GET", "braintree/stats")["orders_captured_more_than_once"] >= 1


def test_a_conflict_is_a_key_in_flight(shop: Shop) -> None:
    shop.fault("conflict_409", "/transactions")

    assert codes(shop.sale(api_request_key=KEY)) == ["915233"]
    assert shop.captures() == 0


def test_a_hang_outlasts_an_impatient_client(shop: Shop) -> None:
    shop.fault("hang_after_commit", "/transactions", delay_ms=int(PATIENCE * 1_000))

    with pytest.raises(ReadTimeoutError):
        shop.sale(api_request_key=KEY, gateway=shop.client(timeout=0.2))
    until(lambda: shop.captures() == 1)

    assert shop.sale(api_request_key=KEY).is_success
    assert shop.captures() == 1


def test_a_fault_hits_the_merchant_it_is_meant_for(shop: Shop) -> None:
    other = Shop(shop.url)
    shop.fault("error_500_uncommitted", "/transactions")

    assert other.sale().is_success
    with pytest.raises(ServerError):
        shop.sale()
    other.close()
