"""api_request_key: one execution a key, answered with the present state for 30 days."""

import threading
from typing import Any

import pytest

from tests.contract.braintree.shop import DAY, Shop, codes
from tests.waiting import held_back

KEY = "key-1"
AUTHORIZE = {"submit_for_settlement": False}


def test_the_same_key_is_the_same_sale(shop: Shop) -> None:
    first, second = (shop.sold(order_id="1", api_request_key=KEY) for _ in range(2))

    assert (first.id, shop.captures()) == (second.id, 1)


def test_a_repetition_tells_the_present_state_and_not_the_first_answer(shop: Shop) -> None:
    first = shop.sold(api_request_key=KEY)
    settled = shop.settled(api_request_key=KEY)
    shop.gateway.transaction.refund(first.id)

    again = shop.sold(api_request_key=KEY)

    assert (first.status, settled.id) == ("submitted_for_settlement", first.id)
    assert (again.id, again.status, len(again.refund_ids)) == (first.id, "settled", 1)


def test_a_repetition_of_a_sale_that_was_voided_says_so(shop: Shop) -> None:
    sale = shop.sold(api_request_key=KEY)
    shop.gateway.transaction.void(sale.id)

    result = shop.sale(api_request_key=KEY)

    assert (result.is_success, result.transaction.status) == (True, "voided")


def test_a_declined_sale_stays_declined_under_its_key(shop: Shop) -> None:
    _, token = shop.customer("sbx_card_decline_1_then_ok")

    results = [shop.sale(payment_method_token=token, api_request_key=KEY) for _ in range(2)]

    assert [each.is_success for each in results] == [False, False]
    assert len({each.transaction.id for each in results}) == 1
    assert shop.sale(payment_method_token=token, api_request_key="key-2").is_success


@pytest.mark.parametrize(
    "changes",
    [{"amount": "11.00"}, {"order_id": "2"}, {"options": {"submit_for_settlement": False}}],
)
def test_the_key_of_another_request_is_refused(shop: Shop, changes: dict[str, Any]) -> None:
    shop.sold(api_request_key=KEY)

    assert codes(shop.sale(**{"api_request_key": KEY, **changes})) == ["915232"]
    assert shop.captures() == 1


def test_a_key_stands_for_one_action(shop: Shop) -> None:
    sale = shop.sold(api_request_key=KEY)

    assert codes(shop.gateway.transaction.void(sale.id, {"api_request_key": KEY})) == ["915232"]


def test_a_key_of_a_request_that_was_refused_is_used_up(shop: Shop) -> None:
    results = [shop.sale("0.00", api_request_key=KEY) for _ in range(2)]

    assert [codes(each) for each in results] == [["81531"], ["915234"]]


def test_a_key_has_up_to_255_characters(shop: Shop) -> None:
    assert shop.sale(api_request_key="x" * 255).is_success
    assert codes(shop.sale(api_request_key="x" * 256)) == ["915230"]


def test_a_key_is_forgotten_after_30_days(shop: Shop) -> None:
    first = shop.sold(api_request_key=KEY)

    shop.later(30 * DAY - 1)
    assert shop.sold(api_request_key=KEY).id == first.id
    shop.later(1)
    assert shop.sold(api_request_key=KEY).id != first.id


def test_a_key_belongs_to_its_merchant(shop: Shop) -> None:
    other = Shop(shop.url)

    assert shop.sold(api_request_key=KEY).id != other.sold(api_request_key=KEY).id
    other.close()


def test_every_action_takes_a_key(shop: Shop) -> None:
    transactions = shop.gateway.transaction
    authorized = shop.sold("10.00", options=AUTHORIZE)
    parted = shop.sold("10.00", options=AUTHORIZE)
    voided, reversed_ = shop.sold(), shop.sold()

    def twice(act: Any) -> set[str]:
        results = [act(), act()]
        assert all(each.is_success for each in results)
        return {each.transaction.id for each in results}

    key = {"api_request_key": "s"}
    assert twice(lambda: transactions.submit_for_settlement(authorized.id, "9.00", key))
    assert (
        len(
            twice(
                lambda: transactions.submit_for_partial_settlement(
                    parted.id, "3.00", {"api_request_key": "p"}
                )
            )
        )
        == 1
    )
    assert twice(lambda: transactions.void(voided.id, {"api_request_key": "v"})) == {voided.id}
    assert twice(lambda: transactions.reverse(reversed_.id, {"api_request_key": "r"})) == {
        reversed_.id
    }
    credit = {"amount": "1.00", "payment_method_nonce": "fake-valid-nonce", "api_request_key": "c"}
    assert len(twice(lambda: transactions.credit(dict(credit)))) == 1
    sale = shop.settled("10.00")
    refund = {"amount": "4.00", "api_request_key": "f"}
    assert len(twice(lambda: transactions.refund(sale.id, refund))) == 1
    assert len(transactions.find(sale.id).refund_ids) == 1
    assert len(transactions.find(parted.id).partial_settlement_transaction_ids) == 1


def test_a_twin_is_told_that_its_key_is_in_flight(shop: Shop) -> None:
    answers: list[Any] = []
    with held_back(shop.control, f"{shop.path}/transactions") as waiting:
        first = threading.Thread(
            target=lambda: answers.append(
                _closing(shop, lambda client: shop.sale(api_request_key=KEY, gateway=client))
            )
        )
        first.start()
        waiting()
        twin = shop.sale(api_request_key=KEY)
    first.join()

    assert codes(twin) == ["915233"]
    assert (answers[0].is_success, shop.captures()) == (True, 1)
    assert shop.sale(api_request_key=KEY).transaction.id == answers[0].transaction.id


def test_many_requests_with_one_key_at_once_make_one_transaction(shop: Shop) -> None:
    results: list[Any] = []
    start = threading.Barrier(8)

    def send(client: Any) -> Any:
        start.wait()
        return shop.sale(api_request_key=KEY, gateway=client)

    threads = [
        threading.Thread(target=lambda: results.append(_closing(shop, send))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    made = {each.transaction.id for each in results if each.is_success}
    refused = {code for each in results if not each.is_success for code in codes(each)}
    assert (len(results), len(made), shop.captures()) == (8, 1, 1)
    assert refused <= {"915233"}


def _closing(shop: Shop, send: Any) -> Any:
    """Send with a client of the thread's own; the SDK keeps a connection for each thread."""
    client = shop.client()
    try:
        return send(client)
    finally:
        client.config.close()
