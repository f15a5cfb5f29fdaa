"""The oracle itself: it must notice what is wrong, or the other tests prove nothing."""

from typing import Any

import pytest

from tests.contract.stripe_schema import document, request_problems, response_problems

REFUND = {"id": "re_1", "object": "refund", "amount": 5, "created": 1, "currency": "usd"}


def test_the_document_is_the_one_this_was_written_for() -> None:
    assert document()["info"]["version"] == "2026-05-27.dahlia"


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        ({}, 0),
        ({"amount": "5"}, 1),
        ({"colour": "red"}, 1),
        ({"charge": None}, 0),
        ({"charge": {"id": "ch_1"}}, 1),
        ({"reason": "a reason added later"}, 0),
        ({"pending_reason": "no such reason"}, 1),
    ],
)
def test_answers_are_held_to_the_document(change: dict[str, Any], problems: int) -> None:
    body = {**REFUND, **change}

    assert len(response_problems("GET", "/v1/refunds/re_1", 200, body)) == problems


@pytest.mark.parametrize(
    ("params", "problems"),
    [
        ({"amount": 5, "currency": "usd", "confirm": True, "metadata": {"a": "b"}}, 0),
        ([("amount", "5"), ("currency", "usd"), ("expand[0]", "customer")], 0),
        ({"amount": "5", "currency": "usd", "off_session": "recurring"}, 0),
        ({"amount": "five", "currency": "usd"}, 1),
        ({"amount": 5}, 1),
        ({"amount": 5, "currency": "usd", "colour": "red"}, 1),
    ],
)
def test_requests_are_held_to_the_document(params: Any, problems: int) -> None:
    assert len(request_problems("POST", "/v1/payment_intents", params)) == problems


def test_list_filters_are_read_from_the_query() -> None:
    query = {"created[gte]": "5", "limit": "100", "customer": "cus_1"}

    assert request_problems("GET", "/v1/payment_intents", query) == []
    assert request_problems("GET", "/v1/payment_intents", {"limit": "many"}) != []


def test_a_path_that_stripe_lacks_is_a_problem() -> None:
    assert response_problems("GET", "/v1/nonsense", 200, {}) == ["Stripe has no GET /v1/nonsense"]
