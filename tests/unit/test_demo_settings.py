"""The demo's configuration, beside that of the engine in whose folder it is started."""

from pathlib import Path

import pytest

from billing.config import load_settings
from billing.workers.demo.settings import LISTENING, SECOND_ACCOUNT, SHORT_INTERVALS, TAXES

CONFIG = """
[dunning]
retry_after = ["2d"]

[providers.main]
kind = "stripe"
default = true
api_key = "sk_test_main"

[providers.wallets]
kind = "braintree"
"""


def test_accounts_of_the_engine_are_not_the_demos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)

    settings = load_settings(None, SHORT_INTERVALS | SECOND_ACCOUNT | TAXES | LISTENING)

    assert set(settings.providers) == {"stripe", "braintree"}
    assert settings.default_provider == "stripe"
    assert settings.in_embedded_sandbox("stripe")
    assert len(settings.dunning.retry_after) == 1, "what it decides by is the engine's"
