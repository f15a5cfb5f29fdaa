"""Whatever the OpenAPI document allows or forbids to be sent: no 5xx, nothing without a key."""

from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from billing.flows.service.api_keys import Scope
from tests.api.caller import Caller, Shop
from tests.api.test_keys import ONLY_TELLING
from tests.scenarios.test_catalog_items import SPRING, SSO, TEAM
from tests.scenarios.world import World
from tests.shares import WHOLE

AS_DESCRIBED = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


# Chance finds nobody to name in a body, no currency that is sold, no hold that wasn't captured;
# other tests succeed.
NOT_BY_CHANCE = {
    "POST /v1/invoices",
    "POST /v1/invoices/{invoice}/void",
    "POST /v1/payments",
    "POST /v1/subscriptions",
    "POST /v1/customers/{customer}/credit-grants",
    "POST /v1/customers/{customer}/payment-methods",
    "POST /v1/customers/{customer}/top-ups",
    "POST /v1/subscriptions/{subscription}/changes",
    "POST /v1/subscriptions/{subscription}/changes/quote",
    "POST /v1/subscriptions/{subscription}/changes/{change}/withdraw",
    "POST /v1/subscriptions/{subscription}/coupons",
    "POST /v1/payments/{payment_id}/retry",
    "POST /v1/payments/{payment_id}/void",
}


def trial(examples: int) -> Callable[[Any], Any]:
    """Run with so many examples, the same ones every time."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def operations(caller: Caller) -> list[Any]:
    """Read the interface as a stranger would: over HTTP, with a key.

    Canceling comes last: what is canceled can't be paused or resumed any more.
    """
    schema = schemathesis.openapi.from_dict(caller.found("/v1/openapi.json"))
    results: list[Any] = list(schema.get_all_operations())
    found = [result.ok() for result in results]
    return sorted(found, key=lambda operation: operation.path.endswith("/cancel"))


@pytest.fixture
def known(caller: Caller, world: World) -> dict[str, Any]:
    """Things that are there, by the name of the parameter that asks for them."""
    world.publish(TEAM + SSO + SPRING)
    ada = world.subscribed("video-basic")
    world.run_until("2026-02-20")
    paid = caller.charged(999, customer=ada.customer)
    refund = caller.post(f"/v1/payments/{paid['id']}/refunds", {"amount": 1}).json()
    grant = caller.post(
        f"/v1/customers/{ada.customer}/credit-grants", {"amount": 100, "currency": "USD"}
    ).json()
    invoice = next(each for each in caller.found("/v1/invoices")["data"] if each["due"])
    note = caller.post(
        f"/v1/invoices/{invoice['id']}/credit-notes",
        {"destination": "credit", "share": {"part": 1, "whole": 10}},
    ).json()
    return {
        "note": note["id"],
        "grant_id": grant["id"],
        "customer": ada.customer,
        "subscription": ada.reference,
        "payment_id": caller.charged(999, customer=ada.customer, capture="manual")["id"],
        "refund_id": refund["id"],
        "invoice": invoice["id"],
        "code": "video-basic",
        "change": "00000000-0000-7000-8000-000000000000",
    }


def asked_of(operation: Any, known: dict[str, Any]) -> dict[str, Any] | None:
    names = [parameter.name for parameter in operation.path_parameters]
    return {name: known[name] for name in names} or None


def test_every_answer_is_as_described_and_none_is_a_fault(
    caller: Caller, known: dict[str, Any]
) -> None:
    headers = {"Authorization": f"Bearer {caller.key}"}
    seen: set[tuple[str, bool]] = set()

    for operation in operations(caller):
        for strategy, examples in (
            (operation.as_strategy(path_parameters=asked_of(operation, known)), 10),
            (operation.as_strategy(), 6 if WHOLE else 3),
            (operation.as_strategy(GenerationMode.NEGATIVE), 8 if WHOLE else 4),
        ):

            @trial(examples)
            @given(case=strategy)
            def check(case: Any) -> None:
                answer = case.call(base_url=caller.url, headers=headers)
                case.validate_response(answer, checks=AS_DESCRIBED)
                seen.add((case.operation.label, answer.status_code < 300))

            check()

    reached = {label for label, successful in seen if successful}
    assert {label for label, _ in seen} - reached <= NOT_BY_CHANCE


def test_no_door_is_open_without_a_key(shop: Shop, caller: Caller, known: dict[str, Any]) -> None:
    strangers: list[dict[str, str]] = [{}, {"Authorization": "Bearer pk_bbbbbbbbbbbb_" + "0" * 64}]

    for operation in operations(caller):

        @trial(4)
        @given(case=operation.as_strategy(path_parameters=asked_of(operation, known)))
        def check(case: Any) -> None:
            for headers in strangers:
                case.headers.pop("Authorization", None)
                answer = case.call(base_url=caller.url, headers=headers)
                assert answer.status_code == 401, (case.method, case.path)

        check()


def test_a_key_that_only_reads_changes_nothing(
    shop: Shop, caller: Caller, known: dict[str, Any]
) -> None:
    reader = shop.caller(Scope.READ)
    headers = {"Authorization": f"Bearer {reader.key}"}
    before = caller.found("/v1/audit", limit=200)["data"]

    for operation in (each for each in operations(caller) if each.method.upper() != "GET"):

        @trial(5)
        @given(case=operation.as_strategy(path_parameters=asked_of(operation, known)))
        def check(case: Any) -> None:
            answer = case.call(base_url=caller.url, headers=headers)
            told = (200, 404, 409) if case.path in ONLY_TELLING else ()
            assert answer.status_code in (*told, 400, 403, 422), (case.method, case.path)

        check()

    assert caller.found("/v1/audit", limit=200)["data"] == before
