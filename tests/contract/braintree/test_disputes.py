"""Disputes: opened by the bank, accepted, won, lost; and what the account loses."""

from decimal import Decimal  # noqa: TID251  the SDK's amounts
from typing import Any

import braintree
import pytest
from braintree.exceptions.not_found_error import NotFoundError

from tests.contract.braintree.shop import DAY, Shop, codes


def opened(shop: Shop, sale: Any, **what: str) -> str:
    return str(shop.control("POST", "braintree/disputes", transaction=sale.id, **what)["id"])


def decided(shop: Shop, dispute: str, status: str) -> Any:
    shop.control("POST", f"braintree/disputes/{dispute}", status=status)
    return shop.gateway.dispute.find(dispute)


def test_a_chargeback_takes_the_amount_on_a_day(shop: Shop) -> None:
    sale = shop.settled("10.00", order_id="invoice-1")

    found = shop.gateway.dispute.find(opened(shop, sale, reason="product_not_received"))

    assert (found.kind, found.status, found.reason) == (
        "chargeback",
        "open",
        "product_not_received",
    )
    assert (found.amount_disputed, found.amount_won) == (Decimal("10.00"), Decimal("0.00"))
    assert (found.transaction.id, found.transaction.order_id) == (sale.id, "invoice-1")
    assert (str(found.received_date), str(found.reply_by_date)) == ("2026-01-06", "2026-01-16")
    (event,) = found.status_history
    assert (event.status, str(event.effective_date)) == ("open", "2026-01-06")
    assert str(event.disbursement_date) == "2026-01-08"
    assert [each.id for each in shop.gateway.transaction.find(sale.id).disputes] == [found.id]


def test_a_won_dispute_brings_the_amount_back(shop: Shop) -> None:
    dispute = opened(shop, shop.settled("10.00"))
    shop.later(5 * DAY)

    found = decided(shop, dispute, "won")

    assert (found.status, found.amount_won) == ("won", Decimal("10.00"))
    assert str(found.date_won) == "2026-01-11"
    assert [str(each.disbursement_date) for each in found.status_history] == [
        "2026-01-08",
        "2026-01-13",
    ]


def test_a_lost_dispute_moves_nothing_more(shop: Shop) -> None:
    found = decided(shop, opened(shop, shop.settled()), "lost")

    assert (found.status, found.amount_won) == ("lost", Decimal("0.00"))
    assert found.status_history[1].disbursement_date is None


def test_an_open_dispute_is_accepted_once(shop: Shop) -> None:
    dispute = opened(shop, shop.settled())

    assert shop.gateway.dispute.accept(dispute).is_success
    assert shop.gateway.dispute.find(dispute).status == "accepted"
    assert codes(shop.gateway.dispute.accept(dispute)) == ["95704"]
    assert "accepted already" in shop.refused(f"braintree/disputes/{dispute}", status="won")


def test_a_retrieval_takes_nothing(shop: Shop) -> None:
    found = shop.gateway.dispute.find(opened(shop, shop.settled(), kind="retrieval"))

    assert (found.kind, found.reason) == ("retrieval", "retrieval")
    assert found.status_history[0].disbursement_date is None
    assert decided(shop, found.id, "won").amount_won == Decimal("0.00")


def test_a_part_of_a_sale_can_be_disputed_and_no_more_than_all(shop: Shop) -> None:
    sale = shop.settled("10.00")

    assert "no more than" in shop.refused("braintree/disputes", transaction=sale.id, amount="10.01")
    found = shop.gateway.dispute.find(opened(shop, sale, amount="4.00"))
    assert found.amount_disputed == Decimal("4.00")


def test_what_is_not_settled_is_not_disputed(shop: Shop) -> None:
    assert "settled sale" in shop.refused("braintree/disputes", transaction=shop.sold().id)


def test_evidence_is_given_to_an_open_dispute(shop: Shop) -> None:
    disputes, dispute = shop.gateway.dispute, opened(shop, shop.settled())
    evidence = disputes.add_text_evidence(dispute, "it was delivered").evidence

    assert [each.comment for each in disputes.find(dispute).evidence] == ["it was delivered"]
    assert disputes.remove_evidence(dispute, evidence.id).is_success
    assert disputes.finalize(dispute).is_success
    assert disputes.find(dispute).status == "disputed"
    assert codes(disputes.add_text_evidence(dispute, "more")) == ["95701"]


def test_a_dispute_that_is_not_there_is_not_found(shop: Shop) -> None:
    shop.gateway.customer.create({})
    for act in (shop.gateway.dispute.find, shop.gateway.dispute.accept):
        with pytest.raises(NotFoundError):
            act("nothing")


@pytest.mark.parametrize("nonce", ["sbx_card_chargeback", "sbx_paypal_chargeback"])
def test_a_nonce_has_its_sales_charged_back_when_they_settle(shop: Shop, nonce: str) -> None:
    (dispute,) = shop.settled("10.00", nonce).disputes

    assert (dispute.kind, dispute.status, dispute.amount) == (
        "chargeback",
        "open",
        Decimal("10.00"),
    )


def test_disputes_are_searched_by_status_transaction_day_and_amount(shop: Shop) -> None:
    search = braintree.DisputeSearch
    first, second = shop.settled("10.00"), shop.settled("20.00")
    open_, won = opened(shop, first), opened(shop, second)
    decided(shop, won, "won")

    def found(*criteria: Any) -> set[str]:
        return {each.id for each in shop.gateway.dispute.search(*criteria).disputes.items}

    assert found(search.status.in_list(["open"])) == {open_}
    assert found(search.transaction_id == second.id) == {won}
    assert found(search.amount_disputed >= "15.00") == {won}
    assert found(search.received_date.between("2026-01-01", "2026-01-31")) == {open_, won}
    assert found(search.effective_date >= "2026-02-01") == set()
    assert found(search.kind == "retrieval") == set()
