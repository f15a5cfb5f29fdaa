"""Kinds of providers, and the accounts of them that a process reaches."""

import ast
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

import billing.gateway.stripe as package
from billing.config import load_settings
from billing.errors import BadInput
from billing.flows.policy import Policy
from billing.flows.provider_calls import lists_come_next
from billing.gateway import Gateway
from billing.gateway.capabilities import Replay
from billing.gateway.gateways import Gateways
from billing.gateway.registry import KINDS
from billing.gateway.stripe.amounts import to_stripe
from billing.plans.currencies import charge_limit, charge_step, known_currencies
from billing.rules.money import Money
from billing.workers.runtime.runtime import Runtime, minimum_amounts

ASKS = {"_send", "_ask", "_pages", "_list"}
LARGEST_AT_STRIPE = 99_999_999  # https://docs.stripe.com/currencies: eight digits


def strings(node: ast.expr) -> Iterator[str]:
    """Yield the texts that an expression may be."""
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def names_of_requests() -> set[str]:
    """Return what the gateway's code calls its requests."""
    found = set()
    for file in Path(package.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if node.func.attr in ASKS:
                    found |= set(strings(node.args[0]))
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "operation":
                found |= {text for text in strings(node.value)}
    return found


def test_every_request_has_its_operation_in_the_table_of_its_kind() -> None:
    assert names_of_requests() == KINDS["stripe"].operations


def test_a_gateway_has_the_capabilities_of_its_kind() -> None:
    settings = load_settings(None, {"BILLING__PROVIDERS__STRIPE__API_KEY": "sk_test_1"})

    assert Runtime(settings).gateway.capabilities is KINDS["stripe"].capabilities


@pytest.mark.parametrize("currency", sorted(known_currencies()))
def test_the_provider_takes_the_largest_amount_that_a_plan_may_cost(currency: str) -> None:
    limit = charge_limit(currency)
    largest = Money(limit - limit % charge_step(currency), currency)

    assert to_stripe(largest) <= LARGEST_AT_STRIPE


def test_the_smallest_amount_is_the_providers_unless_it_is_configured() -> None:
    settings = load_settings(None, {"BILLING__CHARGES__MINIMUM_AMOUNTS__USD": "0.10"})

    assert minimum_amounts(settings)["USD"] == 10
    assert minimum_amounts(settings)["GBP"] == 30


@pytest.mark.parametrize(
    ("replay", "turns"),
    [(Replay.FIRST_ANSWER, [4, 6, 8]), (Replay.PRESENT_STATE, [])],
)
def test_lists_are_asked_in_turn_where_a_key_may_replay_an_error_for_ever(
    replay: Replay, turns: list[int]
) -> None:
    capabilities = replace(KINDS["stripe"].capabilities, replay=replay)

    assert [sends for sends in range(1, 9) if lists_come_next(sends, capabilities)] == turns


@pytest.mark.parametrize(
    ("configured", "held"),
    [(None, timedelta(days=29)), (timedelta(hours=5), timedelta(hours=5))],
)
def test_a_key_is_trusted_as_long_as_its_provider_says_and_no_longer(
    configured: timedelta | None, held: timedelta
) -> None:
    capabilities = replace(KINDS["stripe"].capabilities, key_max_age=timedelta(days=29))

    assert Policy(key_max_age=configured).keys_hold(capabilities) == held


# --- accounts -----------------------------------------------------------------------------------


class Reached:
    """Notes which accounts were reached."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, name: str) -> Gateway:
        self.names.append(name)
        return cast(Gateway, object())


def test_an_account_is_reached_when_it_is_first_asked_and_once() -> None:
    reached = Reached()
    gateways = Gateways(["main", "nordic"], "main", reached)

    assert reached.names == []
    assert gateways.of("nordic") is gateways.of("nordic")
    assert gateways.default is gateways.of("main")
    assert reached.names == ["nordic", "main"]


def test_all_accounts_come_in_the_order_of_the_configuration() -> None:
    gateways = Gateways(["main", "nordic"], "nordic", Reached())

    assert list(gateways) == [("main", gateways.of("main")), ("nordic", gateways.of("nordic"))]


def test_an_account_that_left_the_configuration_is_missed_by_name() -> None:
    gateways = Gateways(["main"], "main", Reached())

    with pytest.raises(BadInput, match="no provider 'nordic'"):
        gateways.of("nordic")


def test_each_account_is_reached_with_its_own_key_and_rate() -> None:
    settings = load_settings(
        None,
        {
            "BILLING__PROVIDERS__MAIN__KIND": "stripe",
            "BILLING__PROVIDERS__MAIN__API_KEY": "sk_test_main",
            "BILLING__PROVIDERS__NORDIC__KIND": "stripe",
            "BILLING__PROVIDERS__NORDIC__API_KEY": "sk_test_nordic",
            "BILLING__PROVIDERS__NORDIC__RATE_PER_SECOND": "10",
        },
    )

    main, nordic = (gateway for _, gateway in Runtime(settings).gateways)

    assert main._client._requestor.api_key == "sk_test_main"  # type: ignore[attr-defined]
    assert nordic._client._requestor.api_key == "sk_test_nordic"  # type: ignore[attr-defined]
    assert nordic._bucket.rate == pytest.approx(10)  # type: ignore[attr-defined]


def test_what_is_about_one_account_names_it_where_there_are_several() -> None:
    several, one = (
        Gateways(["main", "nordic"], "main", Reached()),
        Gateways(["main"], "main", Reached()),
    )

    assert (one.only(None), several.only("nordic")) == ("main", "nordic")
    with pytest.raises(BadInput, match="main, nordic"):
        several.only(None)
    with pytest.raises(BadInput, match="elsewhere"):
        one.only("elsewhere")
