"""What the demo calls adding up: the books agree, and one break is open, the one it meant."""

import random
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

import billing.plans
from billing.api import webhooks
from billing.flows.prove import PromiseResult
from billing.plans.load import load_catalog
from billing.queries.totals import Totals
from billing.sandbox.braintree.behaviours import behaviour_of
from billing.workers.demo import money, run, world
from billing.workers.demo.accounts import AccountFigures
from billing.workers.demo.checks import MoneyFigures, OpenBreak, WebhookFigures
from billing.workers.demo.report import Report
from billing.workers.demo.sales_checks import CreditSum, SalesFigures
from billing.workers.demo.usage_checks import Quantity, UsageFigures

ROOT = Path(__file__).resolve().parents[2]
MEANT = OpenBreak("unknown_at_provider", "pi_strange", 700, "USD")
FIRST = AccountFigures("stripe", captures=7, captured_payments=7, in_journal=7, settled=7)
SECOND = AccountFigures(
    "braintree",
    captures=3,
    captured_payments=3,
    in_journal=3,
    settled=3,
    paid_out={"EUR": 9100},
    booked_out={"EUR": 9100},
)
MONEY = MoneyFigures(
    refunds_by_state={"failed": 1, "succeeded": 2},
    refunds_asked=3,
    disputes_by_state={"won": 1},
    disputes_opened=1,
    settled_payments=10,
    forced_corrections=1,
    paid_behind_our_back=1,
    open_breaks=[MEANT],
    intended_breaks=[MEANT],
    alerts={"unknown_at_provider": 1, "duplicate_charge": 0},
    taken={"usd": 700},
    taken_captures=1,
    accounts=[FIRST, SECOND],
    webhooks=WebhookFigures(delivered=20, lost=4, swept=4),
)
EUROS = CreditSum("EUR", 20500, 20500, used=9000, expired=500, left=11000, booked=11000)
SALES = SalesFigures(
    with_items=5,
    with_addons=2,
    charged_once=4,
    free_periods=3,
    redeemed=4,
    redeemed_by_demo=4,
    invoices_discounted=6,
    most_used={"winter": 3, "forever": 7},
    may_be_used={"winter": 3, "thanks": 1},
    credit=[EUROS],
    goodwill_by_demo={"EUR": 20500},
    changes_by_time={"now": 2, "period_end": 1},
    changes_by_demo=3,
    ordered={"one_off": 1, "top_up": 2},
    ordered_by_demo={"one_off": 1, "top_up": 2},
    notes_by_destination={"credit": 2, "refund": 1},
    notes_by_demo=3,
    collected={"usd": 20000, "jpy": 2400},
)
JANUARY, FEBRUARY = ("demo-1", "calls", 0), ("demo-1", "calls", 1)
USAGE = UsageFigures(
    sent=5,
    rows=8,
    repeated=3,
    repeated_by_engine=6,
    late=1,
    late_by_engine=1,
    expected={JANUARY: Quantity(3, 70), FEBRUARY: Quantity(2, 9)},
    counted={JANUARY: Quantity(3, 70), FEBRUARY: Quantity(2, 9)},
    to_bill={JANUARY: Quantity(2, 60)},
    billed={JANUARY: Quantity(2, 60)},
    amounts={"EUR": 540},
)
TOTALS = Totals(
    subscriptions=5,
    cycles_opened=11,
    cycles_closed=10,
    captured_payments=10,
    attempts=11,
    declines=1,
    declines_by_code={"stolen_card": 1},
    paid_by_method={"card": 9, "paypal": 1},
    recovered_by_dunning=0,
    unknown_attempts=0,
    failed_payments=0,
    doubly_captured_invoices=0,
    captured_in_journal=10,
    ledger_imbalance=0,
    open_breaks=1,
)
REPORT = Report(
    totals=TOTALS,
    subscriptions=5,
    provider_captures=11,
    provider_captured_twice=0,
    missed_periods=0,
    faults_by_kind={},
    promises=[PromiseResult(1, "Every period has one cycle", {"cycles": 11}, [])],
    unclosed_but_ready=0,
    seconds=1.0,
    months=1,
    seed=1,
    captured_by_currency={"usd": 20700, "jpy": 2400},
    money=MONEY,
    sales=SALES,
    usage=USAGE,
)


def test_a_capture_that_no_engine_asked_for_is_told_apart() -> None:
    shown = REPORT.to_json()

    assert REPORT.holds
    assert (shown["provider_captures"], shown["provider_captures_unknown"]) == (10, 1)
    assert shown["captured_minor_units"] == {"usd": 20000, "jpy": 2400}
    assert shown["double_charges"] == 0
    assert shown["breaks_by_kind"] == {"unknown_at_provider": 1}
    assert shown["breaks_left_open_on_purpose"] == ["unknown_at_provider pi_strange 7.00 USD"]


def test_the_sandbox_delivers_to_the_door_that_the_api_opens() -> None:
    doors = [webhooks.PATH.format(provider=name) for name in ("stripe", "braintree")]
    assert doors == [money.WEBHOOKS, money.NOTIFICATIONS]


def test_a_capture_more_than_that_is_a_double_charge() -> None:
    report = replace(REPORT, provider_captures=12)

    assert report.double_charges == 1
    assert not report.holds


OTHER = replace(MEANT, payment="pi_other")
WRONG = {
    "a second break": (
        {"open_breaks": [MEANT, OTHER], "alerts": {"unknown_at_provider": 2}},
        "an open break that nobody meant: unknown_at_provider pi_other 7.00 USD",
    ),
    "another break in its place": ({"open_breaks": [OTHER]}, "nobody meant"),
    "the same payment as another kind": (
        {"open_breaks": [replace(MEANT, kind="duplicate_charge")]},
        "no break tells of unknown_at_provider pi_strange 7.00 USD",
    ),
    "the break was not noticed": (
        {"open_breaks": [], "alerts": {}},
        "no break tells of unknown_at_provider pi_strange 7.00 USD",
    ),
    "no alert": ({"alerts": {}}, "billing_reconciliation_breaks_open says {}"),
    "a payment is not settled": ({"settled_payments": 9}, "9 of 10 captured payments are settled"),
    "money found but not corrected": ({"forced_corrections": 0}, "0 forced corrections, 1 were"),
    "a correction nobody called for": ({"paid_behind_our_back": 0}, "1 forced corrections, 0 were"),
    "a refund was made twice": ({"refunds_asked": 2}, "2 refunds were asked for"),
    "a dispute was not heard of": ({"disputes_opened": 2}, "2 disputes were opened"),
    "the balance is off": (
        {"accounts": [replace(FIRST, unexplained={"JPY": -5}), SECOND]},
        "stripe: -5 JPY of the provider's balance are unexplained",
    ),
    "an account captured more": (
        {"accounts": [replace(FIRST, captures=8), replace(SECOND, captures=2)]},
        "stripe: 8 captures there, 7 captured payments, 7 in the journal, 7 settled",
    ),
    "an account's money is on its way": (
        {"accounts": [FIRST, replace(SECOND, settled=2)]},
        "braintree: 3 captures there, 3 captured payments, 3 in the journal, 2 settled",
    ),
    "an account was charged twice": (
        {"accounts": [FIRST, replace(SECOND, repeated=1)]},
        "braintree: 1 captured more than once",
    ),
    "another amount was paid out": (
        {"accounts": [FIRST, replace(SECOND, paid_out={"EUR": 9000})]},
        "braintree: paid out {'EUR': 9000}, booked {'EUR': 9100}",
    ),
    "the trial balance is off": ({"trial_balance_sums": False}, "does not sum to zero"),
    "a webhook is missing": ({"webhooks": WebhookFigures(missing=2)}, "2 events never reached us"),
    "a webhook waits": ({"webhooks": WebhookFigures(unhandled=1)}, "1 events are not handled"),
}


@pytest.mark.parametrize(("change", "words"), WRONG.values(), ids=WRONG)
def test_nothing_else_is_let_pass(change: dict[str, object], words: str) -> None:
    report = replace(REPORT, money=replace(MONEY, **change))  # type: ignore[arg-type]

    assert not report.holds
    assert any(words in finding for finding in report.to_json()["findings"])


SOLD_WRONGLY = {
    "more was captured than was due": (
        {"collected": {"usd": 19900, "jpy": 2400}},
        "invoices were due {'usd': 19900, 'jpy': 2400}, the provider captured",
    ),
    "nothing was due in a currency": ({"collected": {"usd": 20000}}, "invoices were due"),
    "a free period is invoiced": ({"free_invoiced": 1}, "1 free periods have an invoice"),
    "a coupon is not redeemed": ({"redeemed": 3}, "4 coupons were redeemed, there are 3"),
    "a discount is of no redemption": (
        {"discounts_off": 1},
        "the discounts of 1 invoices are not those of their redemptions and lines",
    ),
    "a coupon is used too often": (
        {"most_used": {"winter": 4}},
        "coupon winter took something off 4 invoices, and may off 3",
    ),
    "credit is gone": (
        {"credit": [replace(EUROS, used=8999)]},
        "credit in EUR does not add up: 205.00 EUR granted, 89.99 EUR used, 5.00 EUR expired",
    ),
    "the journal has less credit": (
        {"credit": [replace(EUROS, booked=10999)]},
        "customers have 110.00 EUR of credit left, the journal has 109.99 EUR",
    ),
    "goodwill is granted twice": (
        {"goodwill_by_demo": {"EUR": 10250}},
        "{'EUR': 10250} of goodwill was granted, the rows say {'EUR': 20500}",
    ),
    "a change is missing": ({"changes_by_demo": 4}, "4 changes were asked for"),
    "an order is invoiced twice": (
        {"ordered": {"one_off": 2, "top_up": 2}},
        "{'one_off': 1, 'top_up': 2} invoices were ordered: {'one_off': 2, 'top_up': 2}",
    ),
    "an order is not paid": ({"ordered_unpaid": 1}, "1 invoices of orders are unpaid"),
    "bought credit is not granted": ({"bought_off": 1}, "1 invoices of credit granted something"),
    "a credit note too many": ({"notes_by_demo": 2}, "2 credit notes were issued"),
    "a note gives less": (
        {"notes_off": 1},
        "1 credit notes gave something else than their total",
    ),
}


@pytest.mark.parametrize(("change", "words"), SOLD_WRONGLY.values(), ids=SOLD_WRONGLY)
def test_what_was_sold_adds_up_or_is_told(change: dict[str, object], words: str) -> None:
    report = replace(REPORT, sales=replace(SALES, **change))  # type: ignore[arg-type]

    assert not report.holds
    assert any(words in finding for finding in report.to_json()["findings"])


USED_WRONGLY = {
    "an event is lost": ({"lost": 1}, "1 events of usage were answered and are not kept"),
    "an event is nobody's": ({"unknown": 1}, "1 events of usage are kept, and nobody sent them"),
    "an event conflicts": ({"conflicting": 1}, "1 events of usage conflict"),
    "an event is not counted": (
        {"sent": 6},
        "6 events of usage were sent, 5 are counted and 0 refused",
    ),
    "a repetition is not recorded": (
        {"repeated_by_engine": 2},
        "3 events of usage were answered as repeated, and 2 are recorded",
    ),
    "late usage is not seen": (
        {"late_by_engine": 0},
        "1 events of usage came late, and 0 are recorded",
    ),
    "an event counts twice": (
        {"counted": {JANUARY: Quantity(3, 130), FEBRUARY: Quantity(2, 9)}},
        "demo-1, calls, period 0: 70 of 3 events were sent, 130 of 3 are counted",
    ),
    "an event is of another period": (
        {"counted": {JANUARY: Quantity(3, 70), ("demo-1", "calls", 2): Quantity(2, 9)}},
        "demo-1, calls, period 1: 9 of 2 events were sent, 0 of 0 are counted",
    ),
    "less is billed": (
        {"billed": {JANUARY: Quantity(1, 50)}},
        "demo-1, calls, period 0: 60 of 2 events were sent, 50 of 1 are billed",
    ),
}


@pytest.mark.parametrize(("change", "words"), USED_WRONGLY.values(), ids=USED_WRONGLY)
def test_what_was_used_is_counted_and_billed_or_is_told(
    change: dict[str, object], words: str
) -> None:
    report = replace(REPORT, usage=replace(USAGE, **change))  # type: ignore[arg-type]

    assert not report.holds
    assert any(words in finding for finding in report.to_json()["findings"])


def test_the_report_tells_what_became_of_usage() -> None:
    shown = REPORT.to_json()

    told = {name.removeprefix("usage_"): shown[name] for name in shown if name.startswith("usage_")}
    assert told == {
        "sent": 5,
        "rows": 8,
        "counted": 5,
        "repeated": 3,
        "refused": 0,
        "late": 1,
        "billed": {"calls": 60},
        "amount": {"eur": 540},
    }


def test_the_report_tells_what_became_of_credit() -> None:
    shown = REPORT.to_json()

    became = [shown[f"credit_{what}"] for what in ("granted", "used", "expired", "left")]
    assert became == [{"eur": 20500}, {"eur": 9000}, {"eur": 500}, {"eur": 11000}]
    assert (shown["changes"], shown["credit_notes"]) == (3, 3)
    assert (shown["orders"], shown["orders_by_kind"]) == (3, {"one_off": 1, "top_up": 2})


def test_the_demo_sells_what_its_customers_ask_for() -> None:
    """Each plan, item, add-on and coupon that a case names is in the catalog of the demo."""
    catalog = load_catalog(run.CATALOG)
    for case in world.CASES.values():
        plan = catalog.plans[case.plan]
        items = {item.code for version in plan.versions for item in version.sold}
        addons = {code for code, addon in catalog.addons.items() if plan.code in addon.fits}
        assert set(case.items) <= items | addons
        assert set(case.coupons) <= set(catalog.coupons)


def test_the_report_tells_cards_and_wallets_apart() -> None:
    assert REPORT.to_json()["paid_by_method"] == {"card": 9, "paypal": 1}


@pytest.mark.parametrize("currency", ["JPY", "KWD"])
def test_nobody_in_the_demo_pays_by_wallet_in_a_currency_that_it_does_not_take(
    currency: str,
) -> None:
    rng = random.Random(1)
    cards = {world._card_by_lot(currency, world.STRIPE, rng) for _ in range(2000)}
    in_dollars = {world._card_by_lot("USD", world.STRIPE, rng) for _ in range(2000)}

    assert cards == {token for token, _ in world.CARDS}
    assert in_dollars == cards | {token for token, _ in world.WALLETS}


@pytest.mark.parametrize("currency", ["EUR", "GBP", "JPY", "KWD", "USD"])
def test_who_pays_at_the_other_provider_pays_by_its_own_means_in_a_currency_that_it_takes(
    currency: str,
) -> None:
    taken = {"USD", *(each.get("currency") for each in money.MERCHANT_ACCOUNTS.values())}
    lots = [world._provider_by_lot(number, currency) for number in range(100)]
    rng = random.Random(1)

    assert (lots.count(world.BRAINTREE) > 0) is (currency in taken)
    cards = {world._card_by_lot(currency, world.BRAINTREE, rng) for _ in range(2000)}
    assert cards == {nonce for nonce, _ in world.NONCES}
    assert all(behaviour_of(nonce) is not None for nonce in cards)


def test_the_report_tells_captures_and_what_was_paid_out_by_provider() -> None:
    shown = REPORT.to_json()

    assert shown["captures_by_provider"] == {"stripe": 7, "braintree": 3}
    assert shown["paid_out"] == {"stripe": {}, "braintree": {"eur": 9100}}


def test_the_demo_sells_plans_of_its_own(tmp_path: Path) -> None:
    """Whoever renames a plan of the shipped catalog, or of theirs, still has a demo."""
    shipped = Path(billing.plans.__file__).parent
    catalog = load_catalog(run.CATALOG)

    assert shipped not in run.CATALOG.parents
    assert world.CAST_PLAN in catalog.plans
    package_data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    (pattern,) = package_data["package-data"]["billing.workers"]
    assert set((ROOT / "billing" / "workers").glob(pattern)) == set(run.CATALOG.glob("*.toml"))
