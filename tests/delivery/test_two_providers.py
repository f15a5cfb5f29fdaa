"""Half of the customers at each provider; both lose answers, and everything is killed.

CHAOS_SECONDS=300 CHAOS_SEED=7 pytest tests/delivery/test_two_providers.py
"""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import text

from billing.config.providers import BraintreeSettings
from tests.delivery.chaos import Chaos, misfortunes
from tests.delivery.engine_under_test import CHARGING, EngineUnderTest
from tests.delivery.test_lost_answers import LOST_AFTER_COMMIT
from tests.delivery.turns import in_turn

CUSTOMERS: Final = 40
DAYS: Final = 43  # two months are billed, and the last of them is paid out
SELLING: Final = {
    "method": "POST",
    "path": f"/merchants/{BraintreeSettings.SANDBOX['merchant_id']}/transactions",
}
ACCOUNTS: Final = ("stripe", "braintree")
METHODS: Final = ("pm_card_visa", "fake-paypal-billing-agreement-nonce")


def settings() -> Iterator[tuple[str, str]]:
    """Yield the settings of an account at each provider, with short deadlines."""
    for name in ACCOUNTS:
        yield f"providers__{name}__kind", name
        yield f"providers__{name}__timeout_connect", "1s"
        yield f"providers__{name}__timeout_read", "1s"
        yield f"providers__{name}__deadline", "1200ms"
        yield f"providers__{name}__rate_per_second", "10000"
    yield "providers__stripe__default", "true"


def by_account(engine: EngineUnderTest, query: str) -> dict[str, int]:
    with engine.runtime.engine.connect() as conn:
        return {row.provider: int(row.sum) for row in conn.execute(text(query))}


CAPTURED: Final = (
    "SELECT provider, count(*) AS sum FROM payments WHERE captured_at IS NOT NULL GROUP BY provider"
)
IN_JOURNAL: Final = """
    SELECT a.provider, count(*) AS sum
      FROM ledger.entries e
      JOIN ledger.postings l ON l.entry_id = e.id
      JOIN ledger.accounts a ON a.id = l.account_id AND a.code = 'psp_clearing'
     WHERE e.kind = 'payment_captured' GROUP BY a.provider
"""
SENT: Final = (
    "SELECT provider, sum(sends) AS sum FROM provider_calls WHERE kind = 'charge' GROUP BY provider"
)


@pytest.mark.slow
@in_turn("two providers")
def test_two_providers_that_lose_answers_take_the_money_of_each_period_once(
    tmp_path: Path, db_url: str, redis_url: str
) -> None:
    given: dict[str, Any] = dict(settings())
    given |= {"database__url": db_url, "redis__url": redis_url}
    seed = int(os.environ.get("CHAOS_SEED", "1"))
    seconds = float(os.environ.get("CHAOS_SECONDS", "4"))
    with EngineUnderTest(tmp_path, **given) as engine:
        engine.populate(CUSTOMERS, cards=METHODS, accounts=ACCOUNTS)
        for match in (CHARGING, SELLING):
            for number, (kind, probability) in enumerate(LOST_AFTER_COMMIT.items()):
                engine.sandbox.fault(
                    kind=kind, match=match, probability=probability, seed=seed + number
                )
        chaos = Chaos(misfortunes(engine), seed, seconds)
        try:
            engine.run(lambda: engine.let_pass(timedelta(days=DAYS)), meanwhile=chaos.strike)

            engine.assert_everything_adds_up()
        except BaseException as error:
            error.add_note(f"CHAOS_SEED={seed} CHAOS_SECONDS={seconds:g}")
            raise
        each = CUSTOMERS // 2 * 2
        assert by_account(engine, CAPTURED) == dict.fromkeys(ACCOUNTS, each)
        assert by_account(engine, IN_JOURNAL) == dict.fromkeys(ACCOUNTS, each)
        assert engine.sandbox.stats()["captures"] == each
        assert engine.sandbox.braintree("stats")["captures"] == each
        assert min(by_account(engine, SENT).values()) > each, "both lost answers"
