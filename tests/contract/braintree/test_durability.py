"""What was answered is still true after the process was killed."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from braintree.exceptions.http.connection_error import ConnectionError as LineCut
from braintree.exceptions.unexpected_error import UnexpectedError

from tests.contract.braintree.shop import BEGIN, DAY, Shop, sandbox
from tests.waiting import until


def test_everything_survives_kill_9(tmp_path: Path) -> None:
    with sandbox(tmp_path / "data") as (process, url):
        shop = Shop(url, "m1")
        shop.at(BEGIN)
        shop.settings(duplicate_transaction_checking=True)
        customer, token = shop.customer("sbx_card_decline_1_then_ok")
        declined = shop.sale(payment_method_token=token, api_request_key="k1").transaction
        sale = shop.sold(payment_method_token=token, api_request_key="k2", order_id="1")
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        shop.close()

    with sandbox(tmp_path / "data") as (_, url):
        shop = Shop(url, "m1")
        assert shop.gateway.transaction.find(sale.id).status == "submitted_for_settlement"
        assert shop.gateway.customer.find(customer).credit_cards[0].token == token
        again = [
            shop.sale(payment_method_token=token, api_request_key="k1"),
            shop.sale(payment_method_token=token, api_request_key="k2", order_id="1"),
        ]
        assert [each.transaction.id for each in again] == [declined.id, sale.id]
        assert shop.captures() == 1
        twin = shop.sale(payment_method_token=token, order_id="1").transaction
        assert twin.gateway_rejection_reason == "duplicate"
        shop.at(BEGIN + 4 * DAY)
        assert shop.gateway.transaction.find(sale.id).disbursement_details.is_valid
        shop.close()


@pytest.mark.parametrize("fault", ["hang_before", "hang_after_commit"])
def test_a_kill_leaves_a_key_with_its_effect_or_without_both(tmp_path: Path, fault: str) -> None:
    """The answer never comes, and then the process dies: the same key tells."""
    with sandbox(tmp_path / "data") as (process, url):
        shop = Shop(url, "m1")
        shop.at(BEGIN)
        shop.customer()
        shop.fault(fault, "/transactions", delay_ms=50)
        with pytest.raises(LineCut):
            shop.sale(api_request_key="k1")
        before: list[Any] = [each.id for each in shop.sales()]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        shop.close()

    with sandbox(tmp_path / "data") as (_, url):
        shop = Shop(url, "m1")
        assert [each.id for each in shop.sales()] == before
        sale = shop.sold(api_request_key="k1")
        assert [each.id for each in shop.sales()] == [sale.id]
        assert before in ([], [sale.id])
        shop.close()


def test_a_kill_in_the_middle_of_many_requests_loses_and_doubles_nothing(tmp_path: Path) -> None:
    sent: list[str] = []
    with sandbox(tmp_path / "data") as (process, url):
        shop = Shop(url, "m1")
        shop.at(BEGIN)
        _, token = shop.customer()

        def send(worker: int) -> None:
            client = shop.client()
            for number in range(10_000):
                sent.append(key := f"{worker}-{number}")
                try:
                    shop.sold(
                        payment_method_token=token,
                        order_id=key,
                        api_request_key=key,
                        gateway=client,
                    )
                except (LineCut, UnexpectedError):
                    break
            client.config.close()

        threads = [threading.Thread(target=send, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        until(lambda: len(sent) > 40)
        os.kill(process.pid, signal.SIGKILL)
        for thread in threads:
            thread.join()
        shop.close()

    with sandbox(tmp_path / "data") as (_, url):
        shop = Shop(url, "m1")
        for key in sent[-8:]:
            shop.sold(payment_method_token=token, order_id=key, api_request_key=key)
        assert sorted(each.order_id for each in shop.sales()) == sorted(sent)
        shop.close()


def test_a_notification_that_was_owed_is_owed_after_a_restart(tmp_path: Path) -> None:
    with sandbox(tmp_path / "data") as (process, url):
        shop = Shop(url, "m1")
        shop.at(BEGIN)
        shop.customer()
        shop.control("POST", "webhooks/conditions", paused=True)
        shop.control("POST", "braintree/webhooks", url="http://127.0.0.1:9/hook")
        shop.settled()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        shop.close()

    with sandbox(tmp_path / "data") as (_, url):
        shop = Shop(url, "m1")
        (told,) = shop.control("GET", "braintree/notifications")["notifications"]
        assert (told["kind"], told["undelivered"]) == ("transaction_settled", 1)
        shop.close()


def test_a_reset_forgets_the_braintree_side_as_well(tmp_path: Path) -> None:
    with sandbox(tmp_path / "data") as (_, url):
        shop = Shop(url, "m1")
        shop.at(BEGIN)
        shop.sold(api_request_key="k1")

        shop.control("POST", "reset")

        assert shop.sales() == []
        assert shop.sold(api_request_key="k1").id == shop.sales()[0].id
        shop.close()
