"""`billing up` names an endpoint to the sandbox for each kind of provider that is there."""

import json
from pathlib import Path
from typing import Any

import pytest

from billing.config import Settings, load_settings
from billing.workers.up.deliveries import name_endpoint, signing_secret
from tests.contract.conftest import Shop

BOTH = """
[providers.stripe]
kind = "stripe"

[providers.paypal]
kind = "braintree"

[providers.more]
kind = "braintree"

"""


def of(shop: Shop, folder: Path, default: str) -> Settings:
    """Return settings whose embedded sandbox is this one."""
    file = folder / "config.toml"
    chosen = BOTH.replace(f"[providers.{default}]", f"[providers.{default}]\ndefault = true")
    file.write_text(f'{chosen}[embedded]\ndir = "{folder}"\n')
    (folder / "sandbox.json").write_text(json.dumps({"url": shop.url}))
    return load_settings(file, {})


def braintree_endpoints(shop: Shop) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = shop.control("GET", "braintree/webhooks")["endpoints"]
    return found


@pytest.mark.parametrize("default", ["stripe", "paypal"])
def test_one_account_of_each_kind_is_told_of_its_events(
    shop: Shop, tmp_path: Path, default: str
) -> None:
    settings = of(shop, tmp_path, default)
    said: list[str] = []

    made = signing_secret(settings)
    name_endpoint(settings, made, 4001, said.append)

    (secret,) = made.values()
    of_default = default == "stripe"
    name = "WEBHOOKS__SECRETS" if of_default else "PROVIDERS__STRIPE__WEBHOOK_SECRETS"
    assert list(made) == [f"BILLING__{name}"]
    (theirs,) = shop.control("GET", "webhooks")["endpoints"]
    assert theirs["url"].endswith(":4001/v1/webhooks/stripe")
    assert theirs["secrets"] == [secret]
    assert load_settings(tmp_path / "config.toml", made).webhook_secrets("stripe") == (secret,)
    (other,) = braintree_endpoints(shop)
    assert other["url"].endswith(":4001/v1/webhooks/paypal")
    assert said == []


def test_an_endpoint_that_moved_is_told_where_it_is_now_and_no_more_where_it_was(
    shop: Shop, tmp_path: Path
) -> None:
    settings = of(shop, tmp_path, "paypal")
    for port in (4001, 4002):
        name_endpoint(settings, signing_secret(settings), port, print)

    assert [each["url"][-26:] for each in braintree_endpoints(shop)] == [
        "127.0.0.1:4002/v1/webhooks/paypal"[-26:]
    ]


def test_its_deliveries_are_dated_by_real_time_however_far_the_sandboxs_clock_is(
    shop: Shop, tmp_path: Path
) -> None:
    settings = of(shop, tmp_path, "paypal")
    shop.control("POST", "clock", now=4_000_000_000)
    name_endpoint(settings, signing_secret(settings), 4001, print)

    assert shop.control("GET", "braintree/settings")["real_timestamps"] is False
    assert shop.control("POST", "braintree/settings", merchant="perennial")["real_timestamps"]
