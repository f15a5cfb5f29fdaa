"""Movements and payouts out of disbursed transactions, fee reports and disputes."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from billing.errors import BadInput, Unavailable
from billing.gateway import BalanceTransaction, ProviderDispute, RefundAccepted
from billing.gateway.braintree import settlement
from billing.gateway.braintree.client import LONGEST_SEARCHES
from billing.gateway.kinds import DisputeStage, MovementKind, PayoutStatus
from billing.gateway.objects import unreadable_in
from billing.rules.money import Money
from tests.contract.braintree.shop import DAY, HOUR, PAYPAL, Shop
from tests.contract.braintree.till import BEGAN, Till, refund_of, till

FEES = {"fee_rate": "0.0290", "fee_fixed": "0.30"}


@pytest.fixture
def shop_till(shop: Shop) -> Iterator[Till]:
    shop.settings(merchant_accounts={"default": FEES})
    opened = till(shop)
    yield opened
    opened.gateway.close()


def moved(opened: Till, **window: Any) -> list[BalanceTransaction]:
    window = window or {"since": BEGAN}
    return [m for p in opened.gateway.list_balance_transactions(**window) for m in p]


def by_kind(movements: list[BalanceTransaction]) -> dict[MovementKind, tuple[int, int, int]]:
    return {each.kind: (each.amount, each.fee, each.net) for each in movements}


def midnight(*day: int) -> datetime:
    return datetime(*day, tzinfo=UTC)  # type: ignore[misc, arg-type]


def test_what_a_day_brings_is_its_sales_their_fees_and_one_payout(shop_till: Till) -> None:
    sales = [shop_till.charged(n=n, amount=Money(10_000, "USD")) for n in (1, 2)]
    shop_till.shop.later(5 * DAY)

    movements = moved(shop_till)

    payout, *charges = movements
    assert (payout.kind, payout.amount, payout.net) == (MovementKind.PAYOUT, -20_000, -20_000)
    assert {each.provider_payment_id for each in charges} == {
        each.provider_payment_id for each in sales
    }
    for each in charges:
        assert (each.amount, each.fee, each.net) == (10_000, 320, 9_680)
        assert (each.customer_money, each.exchange_rate) == (Money(10_000, "USD"), None)
        assert each.metadata["payment"] == "pay_1"
    assert {each.payout_id for each in movements} == {payout.source_id}
    assert {each.created for each in movements} == {midnight(2026, 1, 8)}
    assert len({each.id for each in movements}) == 3


def test_a_refund_leaves_with_the_disbursement_of_its_own_day(shop_till: Till) -> None:
    sale = shop_till.settled(amount=Money(10_000, "USD"))
    made = shop_till.gateway.refund(refund_of(sale, 4_000), first_send=True)
    assert isinstance(made, RefundAccepted)
    shop_till.shop.later(5 * DAY)

    payout, refund, *_ = moved(shop_till)

    assert (payout.amount, refund.kind) == (4_000, MovementKind.REFUND)
    assert (refund.amount, refund.fee, refund.net) == (-4_000, 0, -4_000)
    assert (refund.source_id, refund.provider_payment_id) == (
        made.provider_refund_id,
        sale.provider_payment_id,
    )
    assert refund.metadata.items() >= {"refund": "refund_1", "payment": "pay_1"}.items()


def test_money_in_another_currency_shows_what_it_was_exchanged_at(shop: Shop) -> None:
    yen = {"currency": "JPY", "settlement_currency": "USD", "exchange_rate": "0.0067"}
    shop.settings(merchant_accounts={"yen": yen | FEES})
    opened = till(shop)
    opened.charged(amount=Money(120_000, "JPY"))
    shop.later(5 * DAY)

    payout, charge = moved(opened)
    opened.gateway.close()

    assert (payout.amount, payout.currency) == (-80_400, "USD")
    assert (charge.amount, charge.currency) == (80_400, "USD")
    assert (charge.customer_money, charge.exchange_rate) == (Money(120_000, "JPY"), "0.0067")


def test_each_merchant_account_is_paid_by_itself(shop: Shop) -> None:
    shop.settings(merchant_accounts={"dollars": FEES, "euros": {"currency": "EUR",
        "settlement_currency": "EUR"} | FEES})  # fmt: skip
    opened = till(shop, merchant_account_EUR="euros")
    opened.charged()
    opened.charged(n=2, amount=Money(500, "EUR"))
    shop.later(5 * DAY)

    payouts = [p for page in opened.gateway.list_payouts(since=BEGAN) for p in page]
    opened.gateway.close()

    assert {(each.id, each.amount) for each in payouts} == {
        ("2026-01-08_dollars", Money(999, "USD")),
        ("2026-01-08_euros", Money(500, "EUR")),
    }
    assert {each.status for each in payouts} == {PayoutStatus.PAID}


def test_a_payout_is_read_by_its_id_and_lists_what_it_carried(shop_till: Till) -> None:
    sale = shop_till.charged()
    shop_till.shop.later(5 * DAY)

    payout = shop_till.gateway.payout_by_id("2026-01-08_default")

    assert payout is not None
    assert (payout.amount, payout.arrival) == (Money(999, "USD"), midnight(2026, 1, 8))
    carried = moved(shop_till, since=None, payout=payout.id)
    assert [each.source_id for each in carried] == [payout.id, sale.provider_payment_id]
    assert shop_till.gateway.payout_by_id("2026-01-09_default") is None
    assert shop_till.gateway.payout_by_id("no payout") is None


def test_fees_that_are_taken_from_a_payout_make_it_smaller(shop: Shop) -> None:
    shop.settings(merchant_accounts={"default": FEES}, fees_from_disbursement=True)
    opened = till(shop, fees_from_disbursement="true")
    opened.charged(amount=Money(10_000, "USD"))
    shop.later(5 * DAY)

    payout, _ = moved(opened)
    opened.gateway.close()
    told = shop.control("GET", "braintree/notifications")["notifications"]

    (paid,) = [each for each in told if each["kind"] == "disbursement"]
    assert (payout.amount, paid["amount"]) == (-9_680, "96.80")


def test_a_listing_goes_on_after_the_last_movement_seen(
    shop_till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing.gateway.braintree.settlement.PAGE", 2)
    for n in range(3):
        shop_till.charged(n=n)
    shop_till.shop.later(DAY)
    for n in range(3, 6):
        shop_till.charged(n=n)
    shop_till.shop.later(5 * DAY)
    whole = [each.id for each in moved(shop_till)]

    for n, last_seen in enumerate(whole):
        rest = [each.id for each in moved(shop_till, since=BEGAN, after=last_seen)]
        assert rest == whole[n + 1 :]

    with pytest.raises(Unavailable, match="isn't listed"):
        moved(shop_till, since=BEGAN, after="nothing:sale")


def test_neighbouring_windows_of_movements_tile(shop_till: Till) -> None:
    shop_till.charged()
    shop_till.shop.later(DAY)
    shop_till.charged(n=2)
    shop_till.shop.later(5 * DAY)
    whole = [each.id for each in moved(shop_till)]

    for at in (midnight(2026, 1, 9), midnight(2026, 1, 8) + timedelta(seconds=1)):
        late = moved(shop_till, since=at)
        early = moved(shop_till, since=BEGAN, until=at)
        assert [each.id for each in [*late, *early]] == whole
        assert len(late) == 2


def test_days_are_read_at_once_or_apart_and_hold_the_same(
    shop_till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(2, 5):
        shop_till.charged(n=n)
        shop_till.shop.later(DAY)
    disputed(shop_till)
    shop_till.shop.later(20 * DAY)
    at_once = moved(shop_till)
    assert len({each.created for each in at_once}) > 2

    monkeypatch.setattr(settlement, "HELD_MAX", 1)

    assert moved(shop_till) == at_once


def paid_out(opened: Till) -> list[int]:
    pages = opened.gateway.list_payouts(since=BEGAN)
    return [each.amount.amount for page in pages for each in page]


def test_a_recent_day_without_its_fee_report_is_left_out_and_an_old_one_is_an_error(
    shop_till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop_till.charged()
    shop_till.shop.later(3 * DAY + HOUR)
    # The report comes a day later.
    monkeypatch.setattr(type(shop_till.gateway), "_report_of", lambda *_: None)

    assert (moved(shop_till), paid_out(shop_till)) == ([], [])

    shop_till.shop.later(4 * DAY)
    with pytest.raises(Unavailable, match="no fee report of 2026-01-08"):
        moved(shop_till)
    assert paid_out(shop_till) == [999]  # what was paid doesn't depend on its fees


def test_a_dispute_that_names_its_day_in_advance_makes_no_payout_before_the_days_sales_are_shown(
    shop_till: Till,
) -> None:
    dispute = disputed(shop_till)  # of a sale that is paid out on the same day
    shop_till.shop.at(int(midnight(2026, 1, 8).timestamp()))

    assert (moved(shop_till), paid_out(shop_till)) == ([], [])

    shop_till.shop.later(2 * HOUR)
    assert sorted(each.kind for each in moved(shop_till)) == ["charge", "dispute", "payout"]
    assert f"{dispute}:0:open" in {each.id for each in moved(shop_till)}
    assert paid_out(shop_till) == [0]


def test_money_that_stays_at_paypal_is_no_movement(shop_till: Till) -> None:
    shop_till.shop.settings(paypal_disbursed=False)
    shop_till.charged(PAYPAL)
    shop_till.shop.later(5 * DAY)

    assert moved(shop_till) == []


def test_a_sale_that_the_report_lacks_makes_its_payout_unreadable(
    shop_till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = shop_till.charged()
    shop_till.shop.later(5 * DAY)
    monkeypatch.setattr(type(shop_till.gateway), "_fees", lambda *_: {})

    pages = list(shop_till.gateway.list_balance_transactions(since=BEGAN))

    assert [each for page in pages for each in page] == []
    assert [each.id for page in pages for each in unreadable_in(page)] == [
        sale.provider_payment_id,
        "2026-01-08_default",
    ]
    payout = shop_till.gateway.payout_by_id("2026-01-08_default")
    assert payout is not None
    assert payout.amount == Money(999, "USD")  # what was paid doesn't depend on its fees


def test_movements_are_listed_from_some_day_on(shop_till: Till) -> None:
    with pytest.raises(BadInput, match="from some day on"):
        moved(shop_till, since=None)


# Disputes


def disputed(opened: Till, **what: str) -> str:
    sale = opened.settled(amount=Money(10_000, "USD"))
    made = opened.control("disputes", transaction=sale.provider_payment_id, **what)
    return str(made["id"])


def read(opened: Till, dispute: str) -> ProviderDispute:
    found = opened.gateway.dispute_by_id(dispute)
    assert found is not None
    return found


def test_a_chargeback_withholds_its_amount_with_a_disbursement(shop_till: Till) -> None:
    dispute = disputed(shop_till, reason="product_not_received")
    found = read(shop_till, dispute)
    shop_till.shop.later(5 * DAY)

    assert (found.stage, found.is_inquiry) == (DisputeStage.NEEDS_RESPONSE, False)
    assert (found.amount, found.reason) == (Money(10_000, "USD"), "product_not_received")
    (withheld,) = found.balance_transactions
    assert (withheld.kind, withheld.amount, withheld.fee) == (MovementKind.DISPUTE, -10_000, 0)
    listed = [each for each in moved(shop_till) if each.kind is MovementKind.DISPUTE]
    assert listed == [*read(shop_till, dispute).balance_transactions]
    assert listed[0].id == withheld.id
    payout = shop_till.gateway.payout_by_id(str(withheld.payout_id))
    assert payout is not None
    assert payout.amount.amount == 0


def test_a_won_dispute_brings_the_amount_back(shop_till: Till) -> None:
    dispute = disputed(shop_till)
    shop_till.shop.later(5 * DAY)
    shop_till.control(f"disputes/{dispute}", status="won")
    shop_till.shop.later(5 * DAY)

    found = read(shop_till, dispute)

    assert found.stage is DisputeStage.WON
    assert [each.amount for each in found.balance_transactions] == [-10_000, 10_000]
    kinds = by_kind(moved(shop_till, since=midnight(2026, 1, 12)))
    assert kinds == {
        MovementKind.PAYOUT: (-10_000, 0, -10_000),
        MovementKind.DISPUTE_REVERSAL: (10_000, 0, 10_000),
    }


@pytest.mark.parametrize("status", ["lost", "expired", "auto_accepted"])
def test_a_dispute_that_is_not_fought_or_lost_moves_nothing_more(
    shop_till: Till, status: str
) -> None:
    dispute = disputed(shop_till)
    shop_till.control(f"disputes/{dispute}", status=status)

    found = read(shop_till, dispute)

    assert (found.stage, len(found.balance_transactions)) == (DisputeStage.LOST, 1)


def test_a_retrieval_is_an_inquiry_and_moves_nothing(shop_till: Till) -> None:
    dispute = disputed(shop_till, kind="retrieval")
    found = read(shop_till, dispute)
    shop_till.control(f"disputes/{dispute}", status="expired")

    assert (found.is_inquiry, found.balance_transactions) == (True, ())
    assert read(shop_till, dispute).stage is DisputeStage.CLOSED


def test_a_part_that_is_disputed_is_converted_at_its_sales_rate(shop: Shop) -> None:
    yen = {"currency": "JPY", "settlement_currency": "USD", "exchange_rate": "0.0067"}
    shop.settings(merchant_accounts={"yen": yen | FEES})
    opened = till(shop)
    sale = opened.charged(amount=Money(120_000, "JPY"))
    shop.later(5 * DAY)
    made = opened.control(
        "disputes", transaction=sale.provider_payment_id, amount="60000", kind="chargeback"
    )

    (withheld,) = read(opened, made["id"]).balance_transactions
    opened.gateway.close()

    assert (withheld.amount, withheld.currency) == (-40_200, "USD")
    assert (withheld.customer_money, withheld.exchange_rate) == (Money(-60_000, "JPY"), "0.0067")


def test_disputes_are_listed_by_when_they_were_made(shop_till: Till) -> None:
    first = disputed(shop_till)
    between = datetime.fromtimestamp(shop_till.shop.now + HOUR, UTC)
    shop_till.shop.later(2 * HOUR)
    second = str(
        shop_till.control("disputes", transaction=shop_till.settled(n=2).provider_payment_id)["id"]
    )

    def listed(**window: datetime) -> list[str]:
        return [d.id for page in shop_till.gateway.list_disputes(**window) for d in page]

    assert listed(since=BEGAN) == [second, first]
    assert listed(since=between) == [second]
    assert listed(since=BEGAN, until=between) == [first]
    assert shop_till.gateway.dispute_by_id("none") is None


def test_the_day_of_a_payout_is_part_of_its_id(shop_till: Till) -> None:
    shop_till.charged()
    shop_till.shop.later(5 * DAY)

    (page,) = shop_till.gateway.list_payouts(since=BEGAN)

    assert date.fromisoformat(page[0].id.partition("_")[0]) == page[0].created.date()


def test_a_day_with_more_than_a_search_finds_is_settled_completely(
    shop_till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    sales = []
    for n in range(7):
        sales.append(shop_till.charged(n=n, metadata={"payment": f"pay_{n}"}))
        shop_till.shop.later(HOUR // 2)
    shop_till.shop.later(5 * DAY)
    whole = moved(shop_till)
    monkeypatch.setitem(LONGEST_SEARCHES, "transactions", 3)

    divided = moved(shop_till)

    assert divided == whole
    paid_for = {each.provider_payment_id for each in divided if each.kind is MovementKind.CHARGE}
    assert paid_for == {each.provider_payment_id for each in sales}
    assert divided[0].amount == -7 * 999
    (payout,) = [p for page in shop_till.gateway.list_payouts(since=BEGAN) for p in page]
    assert (payout.id, payout.amount) == (divided[0].source_id, Money(7 * 999, "USD"))
