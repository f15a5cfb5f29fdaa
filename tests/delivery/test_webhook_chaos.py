"""Webhooks come twice, late or never, and everything is killed, while money moves both ways.

    CHAOS_SECONDS=300 CHAOS_SEED=7 pytest --log-cli-level=INFO tests/delivery/test_webhook_chaos.py

soaks for five minutes and says what was done. Renewals go by, shops charge, capture, void and
refund over HTTP and gRPC, cards are replaced, banks take money back, people refund by hand.
"""

import logging
import os
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import text

from billing.api import webhooks
from billing.flows.webhooks.inbox import SWEEP
from billing.gateway.stripe.events import EVENT_KINDS
from billing.store import tasks
from tests.delivery.agreement import disagreements
from tests.delivery.chaos import CARDS, LOST, PLANS, Chaos, misfortunes
from tests.delivery.engine_under_test import (
    CHARGING,
    START,
    WEBHOOK_SECRET,
    EngineUnderTest,
    patiently,
)
from tests.delivery.provider_side import ProviderSide
from tests.delivery.shop import CHARGES, Shop
from tests.delivery.traffic import Bank, Salesman, Taken, let_shoppers_in
from tests.delivery.turns import in_turn

logger = logging.getLogger(__name__)

SUBSCRIPTIONS: Final = 20
SALESMEN: Final = 2
DAYS_MIN: Final = 40
STRIDE: Final = timedelta(days=10)
REMEMBERED: Final = timedelta(days=15)
"""With the next stride it is less than what the provider remembers events for."""
AFTERWARDS: Final = timedelta(days=12)
"""Until then every authorisation has expired, every refund has ended, every payout arrived."""

# A 500 in answer to a refund that was refused is replayed for a day, and until then nobody can
# tell: the clock would stand still for it.
LOSING: Final = (
    (CHARGING, LOST),
    ({"method": "POST", "path": "/v1/refunds"}, tuple({*LOST} - {"error_500"})),
    ({"method": "GET", "path": "/v1/"}, LOST),
)
# So that webhooks have the time to come before the sweep looks for them.
SWEEP_EVERY: Final = "10s"
RECONCILER_TICK: Final = "700ms"
CONDITIONS: Final = {"loss": 0.2, "duplication": 1.0, "reordering": 0.5, "reordering_ms": 400}
YEN_SETTLES_IN_DOLLARS: Final = {
    "settlement_currency": {"jpy": "usd"},
    "exchange_rates": {"jpy:usd": "0.0067"},
}


@pytest.mark.slow
@in_turn("webhook chaos")
def test_lost_doubled_and_disordered_webhooks_and_kills_leave_both_sides_agreed(
    tmp_path: Path,
) -> None:
    seed = int(os.environ.get("CHAOS_SEED", "1"))
    seconds = float(os.environ.get("CHAOS_SECONDS", "9"))
    with EngineUnderTest(
        tmp_path,
        workers=2,
        apis=1,
        webhooks__sweep_every=SWEEP_EVERY,
        reconciler__tick=RECONCILER_TICK,
    ) as engine:
        provider = ProviderSide(engine.sandbox.url)
        prepare(engine, provider, seed)
        chaos = Chaos(misfortunes(engine, LOSING), seed, seconds)
        shops = [
            Shop(engine.http_url, engine.rpc_address, engine.api_key("shop"), seed * 100 + n)
            for n in range(SALESMEN)
        ]
        try:
            engine.run(lambda: time_goes_by(engine, chaos, shops, seed), meanwhile=chaos.strike)
            engine.run(lambda: settle_down(engine, provider))
            engine.wait_until_quiet()
            with engine.runtime.engine.connect() as conn:
                found = [*engine.findings(), *disagreements(conn, provider)]
            assert not found, "\n".join(found)
            engine.run(lambda: assert_each_key_was_executed_once(shops, provider))
            assert_webhooks_were_lost_and_doubled(engine, provider)
            logger.info("%s; %s", engine.figures(), happened(engine, provider, shops))
        except BaseException as error:
            error.add_note(f"CHAOS_SEED={seed} CHAOS_SECONDS={seconds:g}")
            raise
        finally:
            logger.info("struck %d times: %s", chaos.struck.total(), dict(chaos.struck))
            for shop in shops:
                shop.close()


def prepare(engine: EngineUnderTest, provider: ProviderSide, seed: int) -> None:
    """Let customers in, and the provider's webhooks travel badly."""
    assert provider.control("settings", **YEN_SETTLES_IN_DOLLARS)
    assert provider.control("webhooks/conditions", seed=seed, **CONDITIONS)
    endpoint = f"{engine.http_url}{webhooks.PATH.format(provider='stripe')}"
    wanted = sorted(EVENT_KINDS)
    assert provider.control(
        "webhooks", url=endpoint, secrets=[WEBHOOK_SECRET], enabled_events=wanted
    )
    engine.populate(SUBSCRIPTIONS, cards=CARDS, plans=PLANS, spread=timedelta(days=10))
    let_shoppers_in(engine)


def time_goes_by(engine: EngineUnderTest, chaos: Chaos, shops: list[Shop], seed: int) -> None:
    """Let time pass for as long as things are being struck, with traffic all the while."""
    over, taken = threading.Event(), Taken()
    busy: list[Salesman | Bank] = [
        *(Salesman(engine, shop, taken) for shop in shops),
        Bank(engine, seed),
    ]
    with ThreadPoolExecutor(len(busy)) as pool:
        at_work = [pool.submit(each.work, over) for each in busy]
        try:
            now = patiently(engine.runtime.clock.now)
            while not chaos.is_over or now < START + timedelta(days=DAYS_MIN):
                now = let_pass(engine, STRIDE)
                for done in (each for each in at_work if each.done()):
                    done.result()
        finally:
            over.set()
        for each in at_work:
            each.result()


def let_pass(engine: EngineUnderTest, stride: timedelta) -> datetime:
    """Let time pass, and not more of it than the provider remembers events for."""
    now = engine.let_pass(stride)

    def swept() -> bool:
        with engine.runtime.engine.connect() as conn:
            last = tasks.last_run(conn, SWEEP)
        return (
            last is not None and last.watermark is not None and last.watermark >= now - REMEMBERED
        )

    patiently(swept)
    return now


def settle_down(engine: EngineUnderTest, provider: ProviderSide) -> None:
    """Heal everything, let what is under way end, and wait for the next reconciliation."""
    patiently(engine.sandbox.clear_faults)
    let_pass(engine, AFTERWARDS)
    patiently(lambda: heard_of_everything(engine, provider))
    runs = settlements(engine)
    patiently(lambda: settlements(engine) >= runs + 2)  # the first may have begun before


def heard_of_everything(engine: EngineUnderTest, provider: ProviderSide) -> bool:
    """Tell whether every event of the provider is here, and handled."""
    happened = {event["id"] for event in provider.all("events") if event["type"] in EVENT_KINDS}
    with engine.runtime.engine.connect() as conn:
        handled = conn.execute(
            text("SELECT event_id FROM provider_events WHERE handled_at IS NOT NULL")
        ).scalars()
        return happened <= set(handled)


def settlements(engine: EngineUnderTest) -> int:
    """Count the settlement runs that came to their end."""
    with engine.runtime.engine.connect() as conn:
        query = "SELECT count(*) FROM reconciliation_runs WHERE state = 'succeeded'"
        return int(conn.execute(text(query)).scalar_one())


def assert_each_key_was_executed_once(shops: list[Shop], provider: ProviderSide) -> None:
    """However often a key is sent, and over whichever face: one answer, one PaymentIntent."""
    with ThreadPoolExecutor(len(shops)) as pool:
        charged = [payment for found in pool.map(asked_again, shops) for payment in found]
    made = Counter(each["metadata"]["payment"] for each in provider.all("payment_intents"))
    assert len(charged) == len(set(charged)), "two keys came to one payment"
    assert {made[payment] for payment in charged} == {1}


def asked_again(shop: Shop) -> list[str]:
    """Repeat all that a shop ever asked for, and return the payments that it charged."""
    charged = []
    for request, told in shop.answered:
        again = shop.repeated(request)
        assert (again.status, again.body) == (told.status, told.body), request
        assert again.replayed, request
        if request.path == CHARGES:
            other = shop.over_the_other_face(request)
            assert (other.payment["id"], other.status) == (told.payment["id"], told.status)
            charged.append(told.payment["id"])
    return charged


def assert_webhooks_were_lost_and_doubled(engine: EngineUnderTest, provider: ProviderSide) -> None:
    """Which faults there were: without any the story would prove nothing."""
    found = provider.controlled("webhooks")
    sent = sum(found["deliveries"].values()) - found["deliveries"].get("pending", 0)
    assert found["conditions"]["duplication"] == 1.0
    assert found["deliveries"]["lost"] > 0.1 * sent, found
    with engine.runtime.engine.connect() as conn:
        sources = conn.execute(text("SELECT DISTINCT source FROM provider_events")).scalars()
        assert set(sources) == {"webhook", "sweep"}


def happened(engine: EngineUnderTest, provider: ProviderSide, shops: list[Shop]) -> str:
    """Return in a line what there was beside renewals."""
    with engine.runtime.engine.connect() as conn:
        counts = {
            what: conn.execute(text(f"SELECT count(*) FROM {what}")).scalar_one()
            for what in ("refunds", "disputes", "payouts", "provider_events", "breaks")
        }
    answered = sum(len(shop.answered) for shop in shops)
    asked = sum(shop.asked for shop in shops)
    deliveries = provider.controlled("webhooks")["deliveries"]
    return f"{answered} requests answered in {asked} sends, {counts}, deliveries {deliveries}"
