"""What a move of the clock waits for."""

from types import SimpleNamespace
from typing import Any

from billing.config import load_settings
from billing.workers.up import advance


def test_the_settlement_of_an_account_that_tells_no_balance_is_waited_for_too() -> None:
    kinds = {"main": "stripe", "wallets": "braintree"}
    env = {f"BILLING__PROVIDERS__{name.upper()}__KIND": kind for name, kind in kinds.items()}
    runtime: Any = SimpleNamespace(settings=load_settings(None, env))

    assert advance._settled(runtime) == ["main", "wallets"]
