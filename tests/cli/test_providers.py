"""`billing providers`: the accounts of the configuration, and whether they answer."""

import json

from tests.cli.world import World

TWO = {
    "BILLING__PROVIDERS__NORDIC__KIND": "stripe",
    "BILLING__PROVIDERS__NORDIC__API_KEY": "sk_test_of_the_nordic_account",
}


def test_accounts_are_listed_with_what_their_providers_can_do(world: World) -> None:
    env = {**TWO, "BILLING__PROVIDERS__NORDIC__DEFAULT": "true"}

    found = {row["provider"]: row for row in world.json("providers", "list", **env)}

    assert set(found) == {"stripe", "nordic"}
    assert [name for name, row in found.items() if row["default"]] == ["nordic"]
    assert (found["stripe"]["server"], found["nordic"]["server"]) == (
        world.sandbox_url, "the provider's own",
    )  # fmt: skip
    assert (found["nordic"]["keys_hold"], found["nordic"]["replay"]) == ("23h", "first_answer")
    assert "sk_test" not in world.run("providers", "list", **env).stdout


def test_an_account_that_answers_is_told_from_one_that_does_not(world: World) -> None:
    here = {**TWO, "BILLING__PROVIDERS__NORDIC__API_BASE": world.sandbox_url}
    nowhere = {**TWO, "BILLING__PROVIDERS__NORDIC__API_BASE": "http://127.0.0.1:9"}

    assert [row["result"] for row in world.json("providers", "check", **here)] == ["ok", "ok"]
    asked = world.run("providers", "check", **nowhere)
    only = world.run("providers", "check", "stripe", **nowhere)

    assert (asked.exit_code, only.exit_code) == (4, 0)
    assert "nordic" in asked.stdout
    assert "nordic" not in only.stdout


def test_a_merchant_account_that_is_not_there_is_told_before_anybody_is_charged(
    world: World,
) -> None:
    section = "BILLING__PROVIDERS__WALLETS__"
    env = {
        "BILLING__PROVIDERS__STRIPE__DEFAULT": "true",
        f"{section}KIND": "braintree",
        f"{section}API_BASE": world.sandbox_url,
        f"{section}MERCHANT_ID": "wallets",
        f"{section}PUBLIC_KEY": "public_wallets",
        f"{section}PRIVATE_KEY": "private",
    }
    named = {f"{section}MERCHANT_ACCOUNTS__EUR": "shop_eur"}

    good = world.run("providers", "check", "wallets", **env)
    missing = world.run("providers", "check", "wallets", "-o", "json", **env, **named)

    assert good.exit_code == 0
    (found,) = json.loads(missing.stdout)
    assert (missing.exit_code, found["result"]) == (3, "problem")
    assert "shop_eur takes nothing, and not EUR" in found["words"]
    assert "takes EUR" in found["remedy"]


def test_an_account_that_nobody_configured_is_named(world: World) -> None:
    asked = world.run("providers", "check", "southern")

    assert asked.exit_code == 2
    assert "there is no provider 'southern'" in asked.stderr
    assert "there is stripe" in asked.stderr
