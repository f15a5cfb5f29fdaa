"""No interface takes a card number or repeats it, and none is left anywhere.

Fields aren't listed here: the OpenAPI document, the gRPC descriptors, the tree of commands, the
settings and a catalog are walked, so that a new field is asked as soon as it is there.
"""

import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import pytest
import requests
from click.testing import Result
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass
from prometheus_client import generate_latest

from billing.api.cards import refuse_in_message
from billing.api.generated.perennial.v1 import payments_pb2
from billing.api.rpc_server import SERVICE
from billing.config import all_keys
from billing.pan import CardNumberRefused
from tests.api.caller import Caller, Shop, fresh
from tests.cards.spelled import ASCII_SPELLINGS, INNOCENT, SPELLINGS, VISA, found_in
from tests.cards.traces import assert_no_trace, dump
from tests.cli.conftest import cli
from tests.cli.tree import commands, places_for_text
from tests.cli.world import Cli
from tests.scenarios.world import SHIPPED, World
from tests.shares import share
from tests.waiting import PATIENCE

__all__ = ["cli"]

# --- HTTP ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """One field of one operation."""

    method: str
    path: str
    kind: str
    name: str

    def ask(self, caller: Caller, text: str) -> requests.Response:
        """Send a request whose one odd part is this field."""
        path, headers = self.path, {"Authorization": f"Bearer {caller.key}"}
        headers |= {"Idempotency-Key": fresh(), "Content-Type": "application/json"}
        params: dict[str, str] = {}
        body: Any = {}
        match self.kind:
            case "path":
                path = path.replace(f"{{{self.name}}}", quote(text))
            case "query":
                params = {self.name: text}
            case "header":
                headers[self.name] = text
            case "body":
                body = nest(self.name.rstrip(".").split("."), text)
            case _:
                raise AssertionError(f"nobody knows how to fill {self}")
        path = re.sub(r"{\w+}", "01a203a3-5ec8-7b90-84bf-e4cf13f0721b", path)
        return requests.request(
            self.method, caller.url + path, params=params, headers=headers, timeout=PATIENCE,
            data=json.dumps(body) if self.method != "get" else None,
        )  # fmt: skip


def nest(names: list[str], leaf: object) -> object:
    """Return an object with `leaf` at the end of the names; `[]` is a list of one."""
    for name in reversed(names):
        leaf = [leaf] if name == "[]" else {name: leaf}
    return leaf


def http_places(document: Mapping[str, Any]) -> Iterator[Place]:
    """Yield every parameter and every field of every body, of whatever type."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for parameter in operation.get("parameters", []):
                yield Place(method, path, parameter["in"], parameter["name"])
            for content in operation.get("requestBody", {}).get("content", {}).values():
                for name in fields(document, content["schema"]):
                    yield Place(method, path, "body", name)


def fields(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of a schema's fields, and of those below them with dots between."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for choice in schema.get("anyOf", []):
        yield from fields(document, choice)
    for name, part in schema.get("properties", {}).items():
        below = list(fields(document, part))
        yield from (f"{name}.{each}" for each in below) if below else [name]
    if "items" in schema:
        below = list(fields(document, schema["items"]))
        yield from (f"[].{each}" for each in below or [""])


def refused_over_http(answer: requests.Response) -> bool:
    """Say whether an answer refuses a card number, and repeats nothing of it."""
    assert not found_in(answer.text + str(answer.headers))
    if answer.url.endswith("/v1/usage") and answer.status_code == 200:
        return bool(answer.json()["accepted"] == 0)  # event by event, and nothing is kept
    return answer.status_code == 422 and answer.json()["code"] == "card_number_refused"


def test_no_field_of_the_http_interface_takes_a_card_number(
    world: World, shop: Shop, caller: Caller, db_url: str, logs: io.StringIO
) -> None:
    places = list(http_places(caller.found("/v1/openapi.json")))
    assert len(places) > 60
    assert {place.kind for place in places} == {"path", "query", "header", "body"}

    taken = [
        (place, text)
        for place in share(places, 4)
        for text in (ASCII_SPELLINGS if place.kind == "header" else SPELLINGS)
        if not refused_over_http(place.ask(caller, text))
    ]

    assert taken == []
    metrics = generate_latest(shop.registry).decode()
    assert_no_trace(database=dump(db_url), metrics=metrics, logs=logs.getvalue() or "no line")


ODD_BODIES = {
    "a name": '{"%s": 1}',
    "a name further down": '{"metadata": {"deep": [{"%s": null}]}}',
    "an unknown field": '{"card_number": "%s"}',
    "metadata": '{"metadata": {"note": ["x", {"card": "%s"}]}}',
    "a text alone": '"%s"',
    "twice the same name": '{"name": "Ada", "name": "%s"}',
    "not the last of a name": '{"name": "%s", "name": "Ada"}',
}


@pytest.mark.parametrize("body", ODD_BODIES.values(), ids=ODD_BODIES)
@pytest.mark.parametrize("path", ["/v1/customers", "/v1/payments", "/v1/nothing"])
def test_a_card_number_is_found_wherever_it_stands_in_a_body(
    caller: Caller, db_url: str, path: str, body: str
) -> None:
    for text in SPELLINGS:
        answer = requests.post(
            caller.url + path,
            data=body.replace("%s", text).encode(),
            headers={
                "Authorization": f"Bearer {caller.key}",
                "Idempotency-Key": fresh(),
                "Content-Type": "application/json",
            },
            timeout=PATIENCE,
        )
        assert refused_over_http(answer), text
    assert_no_trace(database=dump(db_url))


def test_what_nobody_asked_for_is_not_kept(
    shop: Shop, caller: Caller, db_url: str, logs: io.StringIO
) -> None:
    """Headers that mean nothing here, methods, unknown paths, bodies that are no JSON."""
    key = {"Authorization": f"Bearer {caller.key}"}
    odd: list[tuple[str, str, dict[str, str], str]] = [
        ("GET", "/v1/plans", {name: VISA for name in ("User-Agent", "Cookie", "Referer",
            "X-Request-Id", "Traceparent", "X-Forwarded-For", "Content-Type", VISA)} | key, ""),
        ("GET", "/v1/plans", {"Authorization": f"Bearer {VISA}"}, ""),
        ("GET", "/v1/plans", {"Authorization": VISA}, ""),
        (VISA, "/v1/plans", key, ""),
        ("GET", f"/{VISA}", key, ""),
        ("GET", f"/v1/webhooks/{VISA}", {}, ""),
        ("POST", f"/v1/webhooks/stripe/{VISA}?card={VISA}", {}, VISA),
        ("POST", "/v1/customers", {**key, "Content-Type": "application/json"}, f'{{"a": "{VISA}"'),
        ("POST", "/v1/customers", {**key, "Content-Type": "text/plain"}, VISA),
        ("POST", "/v1/customers", {**key, "Content-Type": f"application/{VISA}"}, "{}"),
    ]  # fmt: skip

    for method, path, headers, body in odd:
        answer = requests.request(
            method, caller.url + path, headers=headers, data=body, timeout=PATIENCE
        )
        assert answer.status_code < 500
        assert not found_in(answer.text + str(answer.headers)), (method, path, headers)

    metrics = generate_latest(shop.registry).decode()
    assert_no_trace(database=dump(db_url), metrics=metrics, logs=logs.getvalue() or "no line")


def test_sixteen_digits_that_are_no_card_are_taken(caller: Caller, world: World) -> None:
    for digits in INNOCENT:
        made = caller.post("/v1/customers", {"name": f"Branch {digits}", "external_id": digits})
        assert made.status_code == 201, made.text
        assert caller.found(f"/v1/customers/{digits}")["name"] == f"Branch {digits}"
    customer_id, _ = world.customer()
    order = {"customer": str(customer_id), "description": INNOCENT[0]}
    assert caller.charged(999, **order)["description"] == INNOCENT[0]
    world.assert_everything_adds_up()


# --- gRPC ---------------------------------------------------------------------------------------

TEXTS = {FieldDescriptor.TYPE_STRING}
NUMBERS = {FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_UINT64}


def rpc_places(kind: Descriptor, types: set[int], path: tuple[str, ...] = ()) -> Iterator[Any]:
    """Yield the way to every field of these types in a message, at any depth."""
    for field in kind.fields:
        if field.message_type is not None:
            yield from rpc_places(field.message_type, types, (*path, field.name))
        elif field.type in types:
            yield (*path, field.name)


def message_with(kind: Descriptor, path: tuple[str, ...], value: object) -> Any:
    message = GetMessageClass(kind)()
    *way, last = path
    target: Any = message
    for name in way:
        target = getattr(target, name)
    setattr(target, last, value)
    return message


def test_no_field_of_the_grpc_interface_takes_a_card_number(
    world: World, shop: Shop, caller: Caller, db_url: str, logs: io.StringIO
) -> None:
    service = payments_pb2.DESCRIPTOR.services_by_name[SERVICE.rpartition(".")[2]]
    asked = 0

    for method in service.methods:
        kind = method.input_type
        texts = [(place, text) for place in rpc_places(kind, TEXTS) for text in SPELLINGS]
        numbers = [(place, int(VISA)) for place in rpc_places(kind, NUMBERS)]
        for place, value in [*texts, *numbers]:
            asked += 1
            with pytest.raises(grpc.RpcError) as caught:
                getattr(caller.rpc, method.name)(
                    message_with(kind, place, value), metadata=caller.metadata, timeout=PATIENCE
                )
            error: Any = caught.value
            told = dict(error.trailing_metadata())
            assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, (method.name, place)
            assert told["perennial-code"] == "card_number_refused", (method.name, place, value)
            assert not found_in(f"{error.details()} {told}")

    assert asked > 200
    metrics = generate_latest(shop.registry).decode()
    assert_no_trace(database=dump(db_url), metrics=metrics, logs=logs.getvalue() or "no line")


def test_a_card_number_is_found_at_any_depth_of_a_message() -> None:
    """Requests are flat today; answers have messages in messages, lists and instants."""
    deep = payments_pb2.GetStatusResponse(
        payment=payments_pb2.Payment(id="p", amount_cents=999),
        refunds=[payments_pb2.Refund(id="r"), payments_pb2.Refund(reason=f"for {VISA}")],
    )

    with pytest.raises(CardNumberRefused) as refused:
        refuse_in_message(deep)

    assert not found_in(f"{refused.value} {refused.value.where}")
    deep.refunds[1].reason = INNOCENT[0]
    refuse_in_message(deep)


# --- the command line, settings and plans -------------------------------------------------------


def refused_at_the_command_line(result: Result) -> bool:
    assert not found_in(result.output)
    return result.exit_code == 2 and "looks like a card number" in result.stderr


def test_no_option_or_argument_of_any_command_takes_a_card_number(cli: Cli) -> None:
    """Every place, each with another spelling; that every place meets several is in test_tree."""
    spellings = cycle(SPELLINGS)
    places = [(path, place) for path, each in commands() for place in places_for_text(each)]

    taken = [
        (path, place)
        for path, place in places
        if not refused_at_the_command_line(cli.run(*path, *place, next(spellings)))
    ]

    assert len(places) > 80
    assert taken == []


def test_no_setting_takes_a_card_number(cli: Cli) -> None:
    spellings = cycle(SPELLINGS)
    for key in all_keys():
        key = key.replace("providers.NAME.", "providers.stripe.")
        variable = "BILLING__" + key.replace(".", "__").upper()
        text = next(spellings)
        section, _, name = key.rpartition(".")

        by_environment = cli.run("config", "show", **{variable: text})
        head = f"[{section}]\n" if section else ""
        (cli.folder / "config.toml").write_text(f'{head}{name} = "{text}"\n')
        by_file = cli.run("config", "show")
        (cli.folder / "config.toml").write_text("")

        assert refused_at_the_command_line(by_environment), key
        assert refused_at_the_command_line(by_file), key


def test_no_text_of_a_catalog_takes_a_card_number(cli: Cli) -> None:
    """Every text and every key of the plans as they are shipped, one after the other."""
    spellings = cycle(SPELLINGS)
    asked = 0
    for file in sorted(SHIPPED.glob("*.toml")):
        good = re.sub(r"#.*", "", file.read_text())
        for match in re.finditer(r'"[^"]*"|^ *[a-z_]+(?= =)|[A-Z]{3}(?= =)', good, re.MULTILINE):
            folder = cli.folder / f"catalog-{asked}"
            folder.mkdir()
            asked += 1
            bad = f'{good[: match.start()]}"{next(spellings)}"{good[match.end() :]}'
            (folder / "bad.toml").write_text(bad)

            result = cli.run("plans", "check", str(folder))

            assert result.exit_code == 2, bad
            assert not found_in(result.output), result.output
    assert asked > 30


def test_a_catalog_with_a_card_number_is_told_what_is_wrong(cli: Cli) -> None:
    folder = Path(cli.folder) / "one"
    folder.mkdir()
    (folder / "bad.toml").write_text('product = "Call 4242 4242 4242 4242"\n')

    result = cli.run("plans", "check", str(folder))

    assert result.exit_code == 2
    assert "looks like a card number" in result.output
