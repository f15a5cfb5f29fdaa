"""Every decision on a payment and every event of a subscription is told in a sentence."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from uuid import UUID

import pytest

from billing.presenters import decisions, history, parking
from billing.rules.actor import Actor, ActorKind
from billing.rules.decisions import Decision, DecisionKind, decided, evidence_of
from billing.rules.dunning import DeclineClass
from billing.rules.facts import as_json
from billing.rules.subscriptions import CatchUpReason, ParkedReason, Status, SubscriptionEventKind
from billing.tax import UndecidedReason

AT = datetime(2026, 3, 8, 10, tzinfo=UTC)
ADA = Actor(ActorKind.CLI, "ada")
SOFT = {"code": "do_not_honor", "decline_class": DeclineClass.SOFT}
RETRY = decided(
    DecisionKind.RETRY, **SOFT, rung=1, rungs=3, step="3 days", at=AT, zone="America/New_York"
)

DECISIONS = [
    (
        RETRY,
        "do_not_honor is soft; rung 1 of 3; next attempt in 3 days on"
        " 2026-03-08 06:00 America/New_York",
    ),
    (
        RETRY.and_also(held_until=AT, budget_attempts=8, budget_days=30, budget_hours_apart=24),
        "do_not_honor is soft; rung 1 of 3; next attempt in 3 days on"
        " 2026-03-08 06:00 America/New_York; held until 2026-03-08 06:00 America/New_York:"
        " the card's budget is 8 attempts in 30 days, 24 h apart",
    ),
    (
        decided(
            DecisionKind.WAIT_FOR_CUSTOMER,
            code="expired_card",
            decline_class=DeclineClass.NEEDS_CUSTOMER,
            until=AT,
            zone="UTC",
            then="unpaid",
        ),
        "expired_card is for the customer to put right; no attempt until the payment method"
        " changes, then at once; without a change until 2026-03-08 10:00 UTC the subscription"
        " becomes unpaid",
    ),
    (
        decided(
            DecisionKind.HARD_DECLINE,
            code="stolen_card",
            decline_class=DeclineClass.HARD,
            then="cancel",
        ),
        "stolen_card is hard; no further attempt; the subscription is canceled",
    ),
    (
        decided(DecisionKind.LADDER_OVER, **SOFT, rungs=3, then="cancel"),
        "do_not_honor is soft; all 3 rungs are used; the subscription is canceled",
    ),
    (
        decided(DecisionKind.LADDER_OVER, **SOFT, rungs=0, then="cancel"),
        "do_not_honor is soft; the plan has no later attempts; the subscription is canceled",
    ),
    (
        decided(DecisionKind.METHOD_CHANGED_MEANWHILE, code="x"),
        "x; the payment method was changed meanwhile: tried again at once",
    ),
    (
        decided(DecisionKind.CANCELED_MEANWHILE, code="x"),
        "x; no further attempt: the subscription was canceled meanwhile",
    ),
    (decided(DecisionKind.NO_LADDER, code="x"), "x; a charge without an invoice has no ladder"),
    (
        decided(DecisionKind.CUSTOMER_DID_NOTHING),
        "the customer did not act before the ladder was over",
    ),
    (
        decided(DecisionKind.CANCELED_BEFORE),
        "nothing was collected before the subscription was canceled",
    ),
    (
        decided(DecisionKind.METHOD_CHANGED),
        "the payment method was changed: tried again at once, no rung is used",
    ),
    (
        decided(DecisionKind.RETRIED_BY_HAND, actor=ADA, why="they called"),
        "retried by cli:ada: they called",
    ),
    (
        decided(DecisionKind.HELD_BY_BUDGET, allowed_at=AT),
        "the payment method's budget of attempts allows the next one at 2026-03-08 10:00 UTC",
    ),
    (
        decided(DecisionKind.HELD_BY_BUDGET, allowed_at=AT, gives_up_at=AT.replace(day=7)),
        "the payment method's budget of attempts allows the next one at 2026-03-08 10:00 UTC;"
        " given up at 2026-03-07 10:00 UTC, when the ladder ends",
    ),
    (
        decided(DecisionKind.LADDER_ENDED, ends_at=AT),
        "the ladder ended at 2026-03-08 10:00 UTC; the payment method's budget of attempts"
        " allowed no more of them",
    ),
    (decided(DecisionKind.CAPTURED), "captured"),
    (decided(DecisionKind.REQUEST_REFUSED), "parked: the request itself was refused"),
    (
        decided(DecisionKind.CANCELED_AT_PROVIDER),
        "the payment was canceled at the provider: nothing can be charged over it any more",
    ),
    (
        decided(DecisionKind.ABSENT),
        "the provider's lists prove that nothing was executed: a new attempt follows, no rung is"
        " used",
    ),
    (
        decided(DecisionKind.ABSENT_AND_CANCELED),
        "the provider's lists prove that nothing was executed: no other attempt follows, the"
        " subscription was canceled meanwhile",
    ),
    (decided(DecisionKind.INVOICE_VOIDED, why="a mistake"), "void: a mistake"),
    (
        decided(DecisionKind.INVOICE_VOIDED, why="moved", subscription_canceled=True),
        "void: subscription canceled: moved",
    ),
    (
        decided(DecisionKind.FOUND_IN_SETTLEMENT, transaction="txn_1"),
        "found in the provider's settlement: txn_1",
    ),
    (
        decided(DecisionKind.CORRECTED_BY_SETTLEMENT),
        "captured: corrected by the provider's settlement",
    ),
    (
        decided(DecisionKind.AUTHORISED, until=AT),
        "authorised until 2026-03-08 10:00 UTC, to be captured or voided",
    ),
    (
        decided(DecisionKind.CAPTURE_REQUESTED, actor=ADA, amount=999, currency="USD"),
        "cli:ada asked for the capture of 9.99 USD",
    ),
    (
        decided(DecisionKind.VOID_REQUESTED, actor=ADA, why="sold out"),
        "voided by cli:ada: sold out",
    ),
    (
        decided(DecisionKind.REQUEST_WITHDRAWN, actor="provider", error="no such card"),
        "voided by provider: the request was refused: no such card",
    ),
    (
        decided(DecisionKind.AUTHORISATION_CAPTURED, captured=500, authorised=999, currency="USD"),
        "5.00 USD of 9.99 USD captured",
    ),
    (
        decided(DecisionKind.CAPTURED_BEFORE_VOID, captured=500, authorised=999, currency="USD"),
        "5.00 USD of 9.99 USD captured at the provider before it could be voided",
    ),
    (decided(DecisionKind.CAPTURE_DECLINED, code="x"), "the capture was declined: x"),
    (
        decided(DecisionKind.CAPTURE_REFUSED, error_class="invalid", message="too late"),
        "the capture was refused: invalid: too late",
    ),
    (
        decided(DecisionKind.AUTHORISATION_GONE, message="canceled there"),
        "the authorisation is gone: canceled there",
    ),
    (
        decided(DecisionKind.AUTHORISATION_EXPIRED, expired_at=AT),
        "the authorisation expired on 2026-03-08 10:00 UTC",
    ),
]
NO_LADDER = evidence_of(decided(DecisionKind.NO_LADDER, code="x"))
EVENTS: list[tuple[SubscriptionEventKind, Mapping[str, object], str]] = [
    (
        SubscriptionEventKind.CREATED,
        {"plan": "pro", "plan_version": date(2026, 1, 1), "currency": "USD", "starts": AT},
        "subscribed to pro (2026-01-01) in USD, first period from 2026-03-08 10:00 UTC",
    ),
    (
        SubscriptionEventKind.ACTIVE,
        {"n": 1, "before": Status.TRIALING, "after": Status.ACTIVE},
        "trialing -> active: the trial is over",
    ),
    (
        SubscriptionEventKind.PLAN_VERSION,
        {"n": 1, "before": date(2026, 1, 1), "after": date(2026, 3, 1)},
        "moved from the terms of 2026-01-01 to those of 2026-03-01",
    ),
    (
        SubscriptionEventKind.PAST_DUE,
        {"before": Status.ACTIVE, "decline_code": "x", **NO_LADDER},
        "active -> past_due: x. x; a charge without an invoice has no ladder",
    ),
    (
        SubscriptionEventKind.RECOVERED,
        {"before": Status.PAST_DUE, "payment": UUID(int=1)},
        "past_due -> active: the open payment was captured",
    ),
    (
        SubscriptionEventKind.UNPAID,
        {"before": Status.PAST_DUE, **NO_LADDER},
        "past_due -> unpaid: x; a charge without an invoice has no ladder",
    ),
    (
        SubscriptionEventKind.UNPAID,
        {"before": Status.ACTIVE},
        "active -> unpaid: its last paid period is over",
    ),
    (
        SubscriptionEventKind.UNPAID_AT_PERIOD_END,
        {"ends_at": AT, **NO_LADDER},
        "will be unpaid at 2026-03-08 10:00 UTC: x; a charge without an invoice has no ladder",
    ),
    (
        SubscriptionEventKind.PAUSED,
        {"before": Status.ACTIVE, "why": "on leave"},
        "active -> paused: on leave",
    ),
    (
        SubscriptionEventKind.PAUSED,
        {
            "before": Status.ACTIVE,
            "until": datetime(2026, 4, 1, tzinfo=UTC),
            "why": "on leave",
        },
        "active -> paused until 2026-04-01 00:00 UTC: on leave",
    ),
    (
        SubscriptionEventKind.RESUMES_LATER,
        {"at_instant": datetime(2026, 4, 1, tzinfo=UTC), "why": "back"},
        "paused until 2026-04-01 00:00 UTC: back",
    ),
    (
        SubscriptionEventKind.CHANGE_SCHEDULED,
        {
            "holds_from": datetime(2026, 2, 1, tzinfo=UTC),
            "before": {"plan": "basic", "items": {"base": 2}},
            "after": {"plan": "team", "items": {}},
            "why": "grows",
        },
        "from 2026-02-01 00:00 UTC on team, before basic (base 2): grows",
    ),
    (
        SubscriptionEventKind.CHANGED,
        {
            "before": {"plan": "team", "items": {"seats": 2}},
            "after": {"plan": "team", "items": {"rooms": 1, "seats": 5}},
            "why": "grows",
        },
        "team (seats 2) -> team (rooms 1, seats 5): grows",
    ),
    (
        SubscriptionEventKind.CHANGE_WITHDRAWN,
        {"change_id": "01a20375", "why": "a mistake"},
        "change 01a20375 was withdrawn: a mistake",
    ),
    (
        SubscriptionEventKind.RESUMED,
        {"before": Status.PAUSED, "after": Status.ACTIVE, "why": "back"},
        "paused -> active: back",
    ),
    (
        SubscriptionEventKind.RESUMED,
        {"before": Status.UNPAID, "after": Status.ACTIVE, "why": "back", "skipped": 2},
        "unpaid -> active, 2 missed periods skipped: back",
    ),
    (
        SubscriptionEventKind.CANCEL_AT_PERIOD_END,
        {"ends_at": AT, "why": "too dear"},
        "will be canceled at 2026-03-08 10:00 UTC: too dear",
    ),
    (
        SubscriptionEventKind.COUPON_REDEEMED,
        {"coupon": "spring", "why": "a promise"},
        "coupon spring was redeemed: a promise",
    ),
    (
        SubscriptionEventKind.USAGE_ALERT,
        {"item": "searches", "n": 3, "percent": 80, "quantity": "8100", "included": "10000"},
        "usage of searches in period 3 passed 80 % of what is included: 8100 of 10000",
    ),
    (
        SubscriptionEventKind.ACCOUNT_CHANGED,
        {"before": None, "after": "paypal", "why": "they asked"},
        "collected over paypal, before over its customer's account: they asked",
    ),
    (
        SubscriptionEventKind.REANCHORED,
        {"announced": AT, "by_schedule": AT.replace(hour=11), "moved": False, "why": "a new rule"},
        "the next period was announced for 2026-03-08 10:00 UTC and starts then; by the rules of"
        " its zone as they are today that is 2026-03-08 11:00 UTC: a new rule",
    ),
    (
        SubscriptionEventKind.REANCHORED,
        {"announced": AT, "by_schedule": AT.replace(hour=11), "moved": True, "why": "a new rule"},
        "its start was moved from 2026-03-08 10:00 UTC to 2026-03-08 11:00 UTC, as its zone is"
        " today: a new rule",
    ),
    *(
        (
            SubscriptionEventKind.DISPUTE_LOST,
            {"amount": 3100, "currency": "USD", "reason": "fraudulent", "on_dispute": policy},
            f"a dispute of 31.00 USD was lost (fraudulent); by its plan {follows}",
        )
        for policy, follows in [
            ("continue", "it goes on"),
            ("pause", "it is paused"),
            ("cancel", "it ends with what is paid"),
        ]
    ),
    (SubscriptionEventKind.KEPT, {"why": "a better offer"}, "goes on after all: a better offer"),
    (
        SubscriptionEventKind.CANCELED,
        {"before": Status.ACTIVE, "why": "too dear"},
        "active -> canceled: too dear",
    ),
    (
        SubscriptionEventKind.CANCELED,
        {"before": Status.ACTIVE},
        "active -> canceled: its last paid period is over",
    ),
    (
        SubscriptionEventKind.CANCELED,
        {"before": Status.PAST_DUE, **NO_LADDER},
        "past_due -> canceled: x; a charge without an invoice has no ladder",
    ),
    (
        SubscriptionEventKind.PARKED,
        {"n": 3, "reason": "plan_missing", "error": None, "facts": {"plan": "pro"}},
        "parked (plan_missing): plan pro is not published",
    ),
    (
        SubscriptionEventKind.PARKED,
        {"n": 3, "reason": "error", "error": "ValueError: no such zone", "facts": {}},
        "parked (error): ValueError: no such zone",
    ),
    (SubscriptionEventKind.RELEASED, {"missed": None, "periods": 0}, "released"),
    (
        SubscriptionEventKind.RELEASED,
        {"missed": "skip", "periods": 2},
        "released; 2 missed periods skipped",
    ),
    (
        SubscriptionEventKind.RELEASED,
        {"missed": "bill", "periods": 2},
        "released; 2 periods billed",
    ),
    (
        SubscriptionEventKind.CORRECTED,
        {"canceled": False},
        "the provider had charged the customer after all",
    ),
    (
        SubscriptionEventKind.CORRECTED,
        {"canceled": True},
        "the provider had charged the customer after all: the subscription stays canceled, look"
        " whether to refund",
    ),
]


PARKED = [
    (
        ParkedReason.TAX_UNDECIDED,
        {"why": UndecidedReason.PLACE_MISSING, "country": None, "tax_class": None},
        "the taxes can't be decided: it isn't known in which country the customer is",
    ),
    (
        ParkedReason.TAX_UNDECIDED,
        {"why": UndecidedReason.REGION_MISSING, "country": "CA", "tax_class": None},
        "the taxes can't be decided: taxes in CA depend on the region, and the customer's isn't"
        " known",
    ),
    (
        ParkedReason.TAX_UNDECIDED,
        {"why": UndecidedReason.RATE_MISSING, "country": "FR", "tax_class": "saas"},
        "the taxes can't be decided: no rate of the class saas is published for FR",
    ),
    (
        ParkedReason.TAX_UNDECIDED,
        {"why": UndecidedReason.ANSWER_MISSING, "country": "FR", "tax_class": None},
        "the taxes can't be decided: the provider that computes them hasn't answered yet",
    ),
    (
        ParkedReason.TAX_UNDECIDED,
        {"why": UndecidedReason.PLACE_REFUSED, "country": "US", "tax_class": None},
        "the taxes can't be decided: the provider can't tell where in US the customer is",
    ),
    (
        ParkedReason.TAX_UNDECIDED,
        {"why": UndecidedReason.VAT_ID_REFUSED, "country": "FR", "tax_class": None},
        "the taxes can't be decided: the provider says that the customer's VAT id can't be one",
    ),
    (
        ParkedReason.TAX_UNDECIDED,
        {"why": UndecidedReason.PLACE_NOT_SUPPORTED, "country": "KP", "tax_class": None},
        "the taxes can't be decided: the provider computes none in KP",
    ),
    (ParkedReason.PLAN_MISSING, {"plan": "pro"}, "plan pro is not published"),
    (
        ParkedReason.SCHEDULE_CHANGED,
        {"n": 3, "starts": AT, "was_due": AT.replace(hour=9)},
        "cycle 3 starts at 2026-03-08 10:00:00+00:00 by its schedule but was due at"
        " 2026-03-08 09:00:00+00:00",
    ),
    (
        ParkedReason.CATCH_UP,
        {"missed": 1, "cap": 3, "catch_up": CatchUpReason.PLAN_PARKS},
        "1 missed period; the plan says to park: release it with --bill or --skip",
    ),
    (
        ParkedReason.CATCH_UP,
        {"missed": 4, "cap": 3, "catch_up": CatchUpReason.OVER_CAP},
        "4 missed periods, more than the cap of 3 that are billed at once: release it with --bill"
        " or --skip",
    ),
    (
        ParkedReason.BELOW_MINIMUM,
        {"total": 10, "minimum": 50, "currency": "USD"},
        "0.10 USD is below the provider's minimum of 0.50 USD",
    ),
    (
        ParkedReason.ABOVE_MAXIMUM,
        {"total": 100_000_000, "maximum": 99_999_999, "currency": "USD"},
        "1000000.00 USD is above the 999999.99 USD that can be charged at once",
    ),
]


@pytest.mark.parametrize(("reason", "facts", "words"), PARKED)
def test_why_a_subscription_is_parked_is_told_from_its_facts(
    reason: ParkedReason, facts: Mapping[str, object], words: str
) -> None:
    assert parking.in_words(str(reason), None, as_json(facts)) == words


def test_an_error_that_was_met_is_told_as_it_is() -> None:
    met = {ParkedReason.ERROR, ParkedReason.REFUSED_BY_DATABASE}

    assert {reason for reason, _, _ in PARKED} | met == set(ParkedReason)
    for reason in [*ParkedReason, "rejected"]:
        assert parking.in_words(str(reason), "no such zone", {}) == "no such zone"


@pytest.mark.parametrize(("decision", "words"), DECISIONS)
def test_a_decision_is_told_from_its_kind_and_facts(decision: Decision, words: str) -> None:
    assert decisions.in_words(str(decision.kind), decision.facts) == words


def test_every_kind_of_decision_and_event_is_among_them() -> None:
    assert {decision.kind for decision, _ in DECISIONS} == set(DecisionKind)
    assert {kind for kind, _, _ in EVENTS} == set(SubscriptionEventKind)


@pytest.mark.parametrize(("kind", "facts", "words"), EVENTS)
def test_an_event_is_told_from_its_kind_and_facts(
    kind: SubscriptionEventKind, facts: Mapping[str, object], words: str
) -> None:
    assert history.in_words(kind, None, as_json(facts)) == words


def test_a_sentence_of_an_earlier_version_is_told_as_it_is() -> None:
    assert decisions.in_words("voided by hand, last year", {}) == "voided by hand, last year"
    assert decisions.in_words(None, {}) is None
    assert history.in_words("active", "the trial is over", {}) == "the trial is over"
    assert history.in_words("imported", "moved from elsewhere", {}) == "moved from elsewhere"


def test_a_record_is_told_without_the_facts_that_its_sentence_is_made_of() -> None:
    record = {"id": 1, "decision": "no_ladder", "decision_facts": {"code": "x"}}

    assert decisions.with_sentence(record) == {
        "id": 1,
        "decision": "x; a charge without an invoice has no ladder",
    }
    assert decisions.with_sentence({"decision": "a sentence"}) == {"decision": "a sentence"}
