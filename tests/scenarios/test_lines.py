"""What happens to money is one structured log line each, with the ids that lead to the rows."""

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from billing.workers.daemons.scheduler import Scheduler
from billing.workers.runtime.metrics import ProcessMetrics
from tests.scenarios.money import give_back
from tests.scenarios.world import World


@pytest.fixture(autouse=True)
def all_levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "billing.workers.runtime.lines")


def told(caplog: pytest.LogCaptureFixture, what: str) -> list[dict[str, Any]]:
    """Return the fields of the lines about something."""
    return [
        vars(record)
        for record in caplog.records
        if record.name == "billing.workers.runtime.lines" and record.getMessage() == what
    ]


def test_a_charge_is_a_line_with_ids_amount_outcome_request_and_duration(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    customer = world.subscribed("video-premium")
    world.settle()

    (line,) = told(caplog, "charge")
    payment, (attempt,) = world.payment(customer), world.attempts(customer)
    assert line["outcome"] == "succeeded"
    assert line["payment"] == str(payment.id)
    assert line["customer"] == str(customer.customer_id)
    assert line["subscription"] == str(customer.subscription_id)
    assert (line["amount"], line["currency"]) == (payment.amount, payment.currency)
    assert (line["attempt"], line["kind"], line["sends"]) == (1, "first", 1)
    assert line["provider_payment"] == payment.provider_payment_id
    assert line["provider_request"] == attempt.provider_request_id
    assert line["provider"] == "stripe"
    assert 0 < line["seconds"] < 60


@pytest.mark.parametrize(
    ("card", "outcome", "fields"),
    [
        (
            "pm_card_chargeCustomerFail",
            "declined",
            {"decline_code": "generic_decline", "decline_class": "soft"},
        ),
        ("pm_card_authenticationRequired", "action_required", {}),
    ],
)
def test_a_decline_says_which(
    world: World,
    caplog: pytest.LogCaptureFixture,
    card: str,
    outcome: str,
    fields: dict[str, object],
) -> None:
    world.subscribed("video-premium", card=card)
    world.settle()

    line = told(caplog, "charge")[0]
    assert line["outcome"] in (outcome, "declined")
    assert fields.items() <= line.items()
    assert line["provider_request"]


def test_an_unknown_outcome_is_a_warning_and_its_end_another_line(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.subscribed("video-premium")
    world.psp.lose_next_answer(after_commit=True)
    world.settle()

    unknown, known = told(caplog, "charge")
    assert (unknown["outcome"], unknown["levelname"]) == ("unknown", "WARNING")
    assert unknown["error_class"] == "connection"
    assert (known["outcome"], known["sends"]) == ("succeeded", 2)
    assert unknown["idempotency_key"] == known["idempotency_key"]


def test_a_refund_is_a_line(world: World, caplog: pytest.LogCaptureFixture) -> None:
    customer = world.subscribed("video-premium")
    world.settle()
    refund_id = give_back(world, world.payment(customer).id)
    world.settle()

    (line,) = told(caplog, "refund")
    assert line["outcome"] == "succeeded"
    assert (line["refund"], line["payment"]) == (str(refund_id), str(world.payment(customer).id))
    assert line["amount"] == world.payment(customer).amount
    assert line["provider_refund"]
    assert line["provider_request"]


def test_a_cycle_is_a_line_opened_or_parked(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bob = world.subscribed("video-premium"), world.subscribed("video-premium")
    world.spoil("UPDATE subscriptions SET plan_version = plan_version, currency = 'CHF'", bob)
    runtime = world.runtime
    scheduler = Scheduler(runtime, ProcessMetrics(CollectorRegistry(), "scheduler", "0"))
    monkeypatch.setattr(scheduler, "_dispatch", lambda _limit: 0)  # nobody is charged
    scheduler.tick()

    lines = {line["subscription"]: line for line in told(caplog, "cycle")}
    (cycle,) = world.cycles(ada)
    opened, parked = lines[ada.reference], lines[bob.reference]
    assert (opened["outcome"], opened["cycle"], opened["n"]) == ("opened", str(cycle.id), cycle.n)
    assert opened["amount"] == world.payment(ada).amount
    assert opened["payment"] == str(world.payment(ada).id)
    assert (parked["outcome"], parked["reason"], parked["levelname"]) == (
        "parked", "error", "ERROR",
    )  # fmt: skip
