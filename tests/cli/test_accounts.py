"""Customers at several accounts, from the command line."""

import pytest

from tests.cli.world import World

PAYPAL = "fake-paypal-billing-agreement-nonce"


@pytest.fixture
def env(world: World) -> dict[str, str]:
    """An account at a second provider."""
    return {
        "BILLING__PROVIDERS__STRIPE__DEFAULT": "true",
        "BILLING__PROVIDERS__BRAINTREE__API_BASE": world.sandbox_url,
        "BILLING__PROVIDERS__BRAINTREE__MERCHANT_ID": "merchant",
        "BILLING__PROVIDERS__BRAINTREE__PUBLIC_KEY": "public",
        "BILLING__PROVIDERS__BRAINTREE__PRIVATE_KEY": "private",
    }


def test_a_subscription_names_an_account_and_follows_its_customer_again(
    world: World, env: dict[str, str]
) -> None:
    world.subscribed("ada", "video-basic")
    keeps = ("--provider", "braintree", "--keep-default")
    shown = world.json("customers", "set-payment-method", "ada", PAYPAL, *keeps, **env)
    assert shown["provider"] == "stripe"
    assert {each["provider"] for each in shown["accounts"]} == {"stripe", "braintree"}
    assert {each["provider"] for each in shown["payment_methods"]} == {"stripe", "braintree"}

    world.json("subscriptions", "set-provider", "ada-sub", "--provider", "braintree", **env)
    assert world.json("subscriptions", "show", "ada-sub")["provider"] == "braintree"
    lines = world.run("subscriptions", "timeline", "ada-sub").stdout
    assert "collected over braintree" in lines

    world.json("subscriptions", "set-provider", "ada-sub", "--follow-customer", **env)
    assert world.json("subscriptions", "show", "ada-sub")["provider"] is None
    assert world.run("subscriptions", "set-provider", "ada-sub").exit_code == 2


def test_an_account_that_a_customer_is_not_at_says_how_they_get_there(
    world: World, env: dict[str, str]
) -> None:
    world.subscribed("ada", "video-basic")

    named = world.run("subscriptions", "set-provider", "ada-sub", "--provider", "braintree", **env)
    moved = world.run("customers", "move-payments", "ada", "--to", "braintree", "--yes", **env)
    nowhere = world.run("customers", "move-payments", "ada", "--to", "nowhere", "--yes", **env)

    for refused in (named, moved):
        assert refused.exit_code == 2
        assert "set-payment-method" in refused.stderr
    assert (nowhere.exit_code, "nowhere" in nowhere.stderr) == (2, True)


def test_a_move_is_shown_before_it_is_made(world: World, env: dict[str, str]) -> None:
    world.subscribed("ada", "video-basic")
    to = ("--to", "braintree", "--payment-method", PAYPAL)

    dry = world.json("customers", "move-payments", "ada", *to, "--dry-run", **env)
    assert (dry["dry_run"], dry["from"], dry["to"]) == (True, "stripe", "braintree")
    assert [each["named"] for each in dry["subscriptions"]] == [None]
    assert world.json("customers", "show", "ada")["provider"] == "stripe"

    done = world.json("customers", "move-payments", "ada", *to, "--yes", **env)
    again = world.json("customers", "move-payments", "ada", *to, "--yes", **env)

    assert (done["dry_run"], done["tried_at_once"]) == (False, 0)
    assert (again["from"], again["to"]) == ("braintree", "braintree")
    shown = world.json("customers", "show", "ada")
    assert (shown["provider"], shown["payment_method_kind"]) == ("braintree", "wallet")
    assert len(shown["payment_methods"]) == 2
