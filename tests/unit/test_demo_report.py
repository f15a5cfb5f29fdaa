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
from billing.workers.demo import money, run, world
from billing.workers.demo.checks import MoneyFigures, OpenBreak, WebhookFigures
from billing.workers.demo.report import Report

ROOT = Path(__file__).resolve().parents[2]
MEANT = OpenBreak("unknown_at_provider", "pi_strange", 700, "USD")
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
    unexplained={"USD": 0},
    webhooks=WebhookFigures(delivered=20, lost=4, swept=4),
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
    assert webhooks.PATH.format(provider="stripe") == money.WEBHOOKS


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
    "the balance is off": ({"unexplained": {"JPY": -5}}, "-5 JPY of the provider's balance are"),
    "the trial balance is off": ({"trial_balance_sums": False}, "does not sum to zero"),
    "a webhook is missing": ({"webhooks": WebhookFigures(missing=2)}, "2 events never reached us"),
    "a webhook waits": ({"webhooks": WebhookFigures(unhandled=1)}, "1 events are not handled"),
}


@pytest.mark.parametrize(("change", "words"), WRONG.values(), ids=WRONG)
def test_nothing_else_is_let_pass(change: dict[str, object], words: str) -> None:
    report = replace(REPORT, money=replace(MONEY, **change))  # type: ignore[arg-type]

    assert not report.holds
    assert any(words in finding for finding in report.to_json()["findings"])


def test_the_report_tells_cards_and_wallets_apart() -> None:
    assert REPORT.to_json()["paid_by_method"] == {"card": 9, "paypal": 1}


@pytest.mark.parametrize("currency", ["JPY", "KWD"])
def test_nobody_in_the_demo_pays_by_wallet_in_a_currency_that_it_does_not_take(
    currency: str,
) -> None:
    rng = random.Random(1)
    cards = {world._card_by_lot(currency, rng) for _ in range(2000)}
    in_dollars = {world._card_by_lot("USD", rng) for _ in range(2000)}

    assert cards == {token for token, _ in world.CARDS}
    assert in_dollars == cards | {token for token, _ in world.WALLETS}


def test_the_demo_sells_plans_of_its_own(tmp_path: Path) -> None:
    """Whoever renames a plan of the shipped catalog, or of theirs, still has a demo."""
    shipped = Path(billing.plans.__file__).parent
    catalog = load_catalog(run.CATALOG)

    assert shipped not in run.CATALOG.parents
    assert world.CAST_PLAN in catalog.plans
    package_data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    (pattern,) = package_data["package-data"]["billing.workers"]
    assert set((ROOT / "billing" / "workers").glob(pattern)) == set(run.CATALOG.glob("*.toml"))
