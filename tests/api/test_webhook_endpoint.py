"""The provider's endpoint: what it believes, what it keeps before it says so, what it refuses."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import braintree
import pytest
import requests
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import Engine

from billing.api import webhooks
from billing.api.webhooks import Intake
from billing.config import Settings, load_settings
from billing.errors import BadInput
from billing.gateway.registry import KINDS
from billing.sandbox.braintree.notifications import form_of, payload_of
from billing.store.access import events
from billing.store.access.events import Event
from billing.store.engine import make_engine
from tests.api.caller import Shop, open_shop
from tests.scenarios.world import World, WorldRuntime
from tests.waiting import PATIENCE
from tests.webhook_endpoint import ENDPOINT_PATH, WebhookEndpoint, event, signature

FORM = "application/x-www-form-urlencoded"
OLD, NEW = "whsec_old", "whsec_new"


@pytest.fixture
def endpoint(engine: Engine) -> Iterator[WebhookEndpoint]:
    """An endpoint with two secrets, as while one replaces the other."""
    with WebhookEndpoint(engine, NEW, OLD) as endpoint:
        yield endpoint


def kept(engine: Engine) -> list[Event]:
    with engine.connect() as conn:
        return events.page(conn)


# --- believed -----------------------------------------------------------------------------------


def test_a_delivery_is_kept_before_it_is_acknowledged(
    endpoint: WebhookEndpoint, engine: Engine
) -> None:
    answer = endpoint.deliver(event())

    assert (answer.status_code, answer.json()) == (200, {"received": True})
    (row,) = kept(engine)
    assert (row.event_id, row.type, row.object_id) == ("evt_1", "refund.failed", "re_1")
    assert (row.source, row.handled_at, row.tries) == ("webhook", None, 0)
    assert row.next_try_at == row.received_at
    assert endpoint.counted("events_received", kind="refund_updated", source="webhook") == 1


def test_nothing_of_the_object_is_kept_but_its_id(
    endpoint: WebhookEndpoint, engine: Engine
) -> None:
    endpoint.deliver(event())

    assert kept(engine)[0].payload == {
        "id": "evt_1",
        "type": "refund.failed",
        "object_type": "refund",
        "object_id": "re_1",
        "created": 1_770_000_000,
    }


def test_a_repeated_delivery_is_acknowledged_and_kept_once(
    endpoint: WebhookEndpoint, engine: Engine
) -> None:
    answers = [endpoint.deliver(event()).status_code for _ in range(3)]

    assert answers == [200, 200, 200]
    assert len(kept(engine)) == 1
    assert endpoint.counted("events_received", kind="refund_updated", source="webhook") == 1


def test_an_unknown_type_is_kept_and_ignored(endpoint: WebhookEndpoint, engine: Engine) -> None:
    assert endpoint.deliver(event(kind="invoice.finalized")).status_code == 200

    (row,) = kept(engine)
    assert (row.handling, row.next_try_at) == ("ignored", None)
    assert row.handled_at is not None
    assert endpoint.counted("events_received", kind="other", source="webhook") == 1


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_while_secrets_are_rotated_both_are_good(
    endpoint: WebhookEndpoint, engine: Engine, secret: str
) -> None:
    assert endpoint.deliver(event(), secret=secret).status_code == 200
    assert len(kept(engine)) == 1


def test_a_form_is_taken_by_the_kind_of_provider_that_posts_forms(
    engine: Engine,
) -> None:
    with WebhookEndpoint(engine, "public:private", kind="braintree") as endpoint:
        at = int(endpoint.clock.wall().timestamp())
        subject = {"id": "sale_1", "type": "sale"}
        content = payload_of("transaction_settled", at, "transaction", subject)
        form = form_of(content, [("public", "private")], "good")
        forged = form_of(content, [("public", "other")], "good")

        answers = [
            endpoint.post(body, content_type=content_type).status_code
            for body, content_type in (
                (forged, FORM), (form, "application/json"), (form, FORM), (form, FORM),
            )
        ]  # fmt: skip

        assert answers == [400, 415, 200, 200]
        (row,) = kept(engine)
        assert (row.type, row.object_id) == ("transaction_settled", "sale_1")
        assert endpoint.counted("signature_failures", reason="no_match") == 1


CHALLENGE = "20f9f8ed05f77439fe955c977e4c8a53"


def test_a_provider_that_asks_whether_the_endpoint_is_ours_is_answered_with_the_accounts_keys(
    engine: Engine,
) -> None:
    keys = braintree.Configuration(
        braintree.Environment.Sandbox, "merchant", "public", private_key="private"
    )
    wanted = braintree.BraintreeGateway(keys).webhook_notification.verify(CHALLENGE)
    with WebhookEndpoint(engine, "public:private", kind="braintree") as endpoint:
        answer = endpoint.ask(bt_challenge=CHALLENGE)

        assert (answer.status_code, answer.text) == (200, wanted)
        assert answer.headers["content-type"].startswith("text/plain")
        payload = "PHhtbD4" * 4
        for question in ({}, {"bt_challenge": payload}, {"bt_challenge": ""}, {"other": CHALLENGE}):
            assert endpoint.ask(**question).status_code == 405


def test_who_has_no_question_is_answered_as_before(endpoint: WebhookEndpoint) -> None:
    assert endpoint.ask(bt_challenge=CHALLENGE).status_code == 405


def test_a_delivery_that_is_repeated_with_its_first_time_is_taken_for_as_long_as_it_is_repeated(
    engine: Engine,
) -> None:
    with WebhookEndpoint(engine, "public:private", kind="braintree") as endpoint:
        now = int(endpoint.clock.wall().timestamp())
        subject = {"id": "sale_1", "type": "sale"}

        def posted(age: timedelta) -> int:
            at = now - int(age.total_seconds())
            content = payload_of("transaction_settled", at, "transaction", subject)
            form = form_of(content, [("public", "private")], "good")
            return endpoint.post(form, content_type=FORM).status_code

        assert [posted(timedelta(hours=hours)) for hours in (0, 1, 24, 25)] == [200, 200, 200, 400]
        assert endpoint.counted("signature_failures", reason="too_old") == 1


# --- not believed -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"secret": "whsec_of_somebody_else"}, "no_match"),
        ({"age": 301}, "too_old"),
        ({"age": -200}, "from_the_future"),
    ],
)
def test_a_false_signature_is_refused_without_detail_and_counted(
    endpoint: WebhookEndpoint, engine: Engine, given: dict[str, Any], reason: str
) -> None:
    answer = endpoint.deliver(event(), **given)

    assert (answer.status_code, answer.json()) == (400, {"error": "refused"})
    assert kept(engine) == []
    assert endpoint.counted("signature_failures", reason=reason) == 1


def test_a_changed_body_is_refused(endpoint: WebhookEndpoint, engine: Engine) -> None:
    signed = signature(json.dumps(event()).encode(), NEW, int(endpoint.clock.wall().timestamp()))
    changed = json.dumps(event(kind="payout.paid")).encode()

    answer = endpoint.post(changed, content_type="application/json", stripe_signature=signed)

    assert answer.status_code == 400
    assert kept(engine) == []
    assert endpoint.counted("signature_failures", reason="no_match") == 1


def test_a_delivery_without_a_signature_is_refused(
    endpoint: WebhookEndpoint, engine: Engine
) -> None:
    answer = endpoint.post(json.dumps(event()).encode(), content_type="application/json")

    assert (answer.status_code, answer.json()) == (400, {"error": "refused"})
    assert endpoint.counted("signature_failures", reason="missing") == 1


@pytest.mark.parametrize("header", ["", "t=,v1", "t=1,t=2,v1=aa", "v1=" + "a" * 64, "?"])
def test_a_garbled_signature_is_refused(
    endpoint: WebhookEndpoint, engine: Engine, header: str
) -> None:
    body = json.dumps(event()).encode()

    answer = endpoint.post(body, content_type="application/json", stripe_signature=header)

    assert answer.status_code == 400
    assert kept(engine) == []
    assert endpoint.counted("signature_failures", reason="malformed") == 1


@pytest.mark.parametrize("body", [b"", b"[]", b"no json", b'{"object": "charge"}', b"\xff\xfe"])
def test_signed_bytes_that_are_no_event_are_refused(
    endpoint: WebhookEndpoint, engine: Engine, body: bytes
) -> None:
    signed = signature(body, NEW, int(endpoint.clock.wall().timestamp()))

    answer = endpoint.post(body, content_type="application/json", stripe_signature=signed)

    assert answer.status_code == 400
    assert kept(engine) == []
    assert endpoint.counted("signature_failures", reason="malformed") == 1


NO_NAMES = ["evt_\0", "evt_\ud800", "evt 1", "e" * 256]


@pytest.mark.parametrize("name", NO_NAMES)
@pytest.mark.parametrize("where", ["id", "type"])
def test_a_name_that_cant_be_kept_is_refused_and_not_asked_for_again(
    endpoint: WebhookEndpoint, engine: Engine, name: str, where: str
) -> None:
    answer = endpoint.deliver(event() | {where: name})

    assert answer.status_code == 400
    assert kept(engine) == []
    assert endpoint.counted("signature_failures", reason="malformed") == 1


@pytest.mark.parametrize("name", NO_NAMES)
def test_an_object_whose_id_the_provider_did_not_make_is_none_of_ours(
    endpoint: WebhookEndpoint, engine: Engine, name: str
) -> None:
    answer = endpoint.deliver(event(data={"object": {"id": name, "object": "coupon"}}))

    assert answer.status_code == 200
    assert [(row.object_id, row.handling) for row in kept(engine)] == [("", "ignored")]


# --- believed, but not meant for us -------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"livemode": True}, "wrong_mode"),
        ({"account": "acct_of_a_shop"}, "wrong_account"),
        ({"livemode": True, "api_version": "2024-06-20"}, "wrong_mode"),
    ],
)
def test_an_event_for_somebody_else_is_answered_counted_and_not_kept(
    endpoint: WebhookEndpoint, engine: Engine, changes: dict[str, Any], reason: str
) -> None:
    answer = endpoint.deliver(event(**changes))

    assert (answer.status_code, answer.json()) == (200, {"received": True})
    assert kept(engine) == []
    assert endpoint.counted("deliveries_refused", reason=reason) == 1
    assert endpoint.counted("signature_failures", reason="no_match") == 0


@pytest.mark.parametrize(
    "version", ["2027-01-27.endive", "2025-09-30.clover", "2024-06-20", "", None, 20240620]
)
def test_an_event_of_any_api_version_is_a_hint_and_kept(
    endpoint: WebhookEndpoint, engine: Engine, version: object
) -> None:
    answer = endpoint.deliver(event(api_version=version))

    assert (answer.status_code, answer.json()) == (200, {"received": True})
    (row,) = kept(engine)
    assert row.handling is None, "its object is fetched"


def test_an_engine_in_live_mode_keeps_no_test_event(engine: Engine) -> None:
    with WebhookEndpoint(engine, NEW, live=True) as endpoint:
        assert endpoint.deliver(event()).status_code == 200
        assert kept(engine) == []
        assert endpoint.deliver(event(livemode=True)).status_code == 200
        assert len(kept(engine)) == 1


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded"])
def test_what_is_no_json_is_refused(endpoint: WebhookEndpoint, engine: Engine, kind: str) -> None:
    assert endpoint.deliver(event(), content_type=kind).status_code == 415
    assert kept(engine) == []
    assert endpoint.counted("deliveries_refused", reason="not_json") == 1


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_not_read_to_its_end(
    endpoint: WebhookEndpoint, chunked: bool
) -> None:
    body: Any = b" " * 1_048_577
    if chunked:
        body = iter([body[:600_000], body[600_000:]])

    signed = signature(b"", NEW, int(endpoint.clock.wall().timestamp()))
    answer = endpoint.post(body, content_type="application/json", stripe_signature=signed)

    assert (answer.status_code, answer.json()) == (413, {"error": "refused"})
    assert endpoint.counted("deliveries_refused", reason="too_large") == 1


@pytest.mark.parametrize("header", [None, "t=1,v1=0", f"t=1,v1={'0' * 64}"])
def test_a_body_that_nobody_can_have_signed_is_not_read(
    endpoint: WebhookEndpoint, header: str | None
) -> None:
    asked = []

    def body() -> Iterator[bytes]:
        for part in range(100):
            asked.append(part)
            yield b" " * 65_536

    headers = {} if header is None else {"stripe_signature": header}
    answer = endpoint.post(body(), content_type="application/json", **headers)

    assert (answer.status_code, answer.json()) == (400, {"error": "refused"})


# --- can't be kept ------------------------------------------------------------------------------


def test_what_cant_be_kept_is_not_acknowledged(db_url: str) -> None:
    nowhere = make_engine(db_url.replace("/test_", "/no_such_database_"))
    with WebhookEndpoint(nowhere, NEW) as endpoint:
        answer = endpoint.deliver(event())
    nowhere.dispose()

    assert (answer.status_code, answer.json()) == (503, {"error": "unavailable"})
    assert answer.headers["retry-after"] == "5"


def test_without_a_secret_nothing_is_taken_and_the_provider_tries_later(engine: Engine) -> None:
    with WebhookEndpoint(engine) as endpoint:
        assert endpoint.deliver(event(), secret="any").status_code == 503
    assert kept(engine) == []


@pytest.mark.parametrize("secrets", [(), ("",), ("whsec_good", " ")])
def test_deliveries_are_not_taken_without_a_secret(
    engine: Engine, secrets: tuple[str, ...]
) -> None:
    endpoint = WebhookEndpoint(engine, "unused")
    with pytest.raises(BadInput, match="without their signing secret") as caught:
        Intake(
            engine,
            "stripe",
            KINDS["stripe"],
            endpoint.clock.wall,
            secrets,
            timedelta(minutes=5),
            False,
            print,
            print,
        )

    assert "WEBHOOK_SECRETS" in str(caught.value.remedy)


# --- accounts -----------------------------------------------------------------------------------


def test_each_account_has_a_path_and_the_default_one_that_of_its_kind_too(world: World) -> None:
    env = {
        "BILLING__PROVIDERS__MAIN__KIND": "stripe",
        "BILLING__PROVIDERS__MAIN__WEBHOOK_SECRETS": OLD,
        "BILLING__PROVIDERS__NORDIC__KIND": "stripe",
        "BILLING__PROVIDERS__NORDIC__WEBHOOK_SECRETS": NEW,
        "BILLING__PROVIDERS__SILENT__KIND": "stripe",
    }
    providers = load_settings(None, env).providers
    settings = world.runtime.settings.model_copy(update={"providers": providers})
    app = FastAPI()

    webhooks.install(app, WorldRuntime(settings, world=world), world.metrics)

    secrets = {name: list(intake.secrets) for name, intake in app.state.webhooks.items()}
    assert secrets == {"main": [OLD], "nordic": [NEW], "stripe": [OLD]}


def test_the_secret_of_one_account_opens_no_other(engine: Engine) -> None:
    with WebhookEndpoint(engine, NEW) as endpoint:
        endpoint.url = endpoint.url.replace(ENDPOINT_PATH, webhooks.PATH.format(provider="nordic"))
        assert endpoint.deliver(event()).status_code == 503
    assert kept(engine) == []


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "secrets"),
    [
        ("", []),
        ("whsec_a", ["whsec_a"]),
        ("whsec_a, whsec_b", ["whsec_a", "whsec_b"]),
        ("whsec_a\nwhsec_b\n", ["whsec_a", "whsec_b"]),
        ('["whsec_a", "whsec_b"]', ["whsec_a", "whsec_b"]),
    ],
)
def test_secrets_come_from_the_environment(given: str, secrets: list[str]) -> None:
    settings = load_settings(None, {"BILLING__WEBHOOKS__SECRETS": given})

    assert [each.get_secret_value() for each in settings.webhooks.secrets] == secrets
    assert "whsec" not in f"{settings!r}{settings.show()}"


def test_secrets_come_from_a_file(tmp_path: Any) -> None:
    (tmp_path / "secrets").write_text("whsec_a\nwhsec_b\n")

    env = {"BILLING__WEBHOOKS__SECRETS_FILE": str(tmp_path / "secrets")}

    assert len(load_settings(None, env).webhooks.secrets) == 2


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ('["whsec_a", ""]', "an empty secret would let anybody in"),
        ("whsec_a,whsec_b,whsec_c", "one secret, or two"),
    ],
)
def test_secrets_that_cant_be_used_are_refused(given: str, what: str) -> None:
    with pytest.raises(BadInput, match=what) as caught:
        load_settings(None, {"BILLING__WEBHOOKS__SECRETS": given})

    assert "whsec" not in str(caught.value)


# --- in the API ---------------------------------------------------------------------------------


def test_in_the_api_the_door_needs_no_key_and_nothing_else_comes_through_it(shop: Shop) -> None:
    url = shop.api.http_url + ENDPOINT_PATH

    shut = requests.post(url, json=event(), timeout=PATIENCE)
    other = requests.post(f"{shop.api.http_url}/v1/payments", json={}, timeout=PATIENCE)

    assert (shut.status_code, shut.json()) == (503, {"error": "unavailable"})
    assert other.status_code == 401


def test_in_the_api_events_are_kept_while_charges_hold_every_thread(world: World) -> None:
    settings = with_secret(world, NEW)
    world.runtime = WorldRuntime(settings, world=world)
    customer = str(world.customer()[0])
    with (
        open_shop(world, threads=1) as shop,
        ThreadPoolExecutor(1) as pool,
        world.psp.holding_charges() as until_it_waits,
    ):
        caller = shop.caller()

        def charge() -> int:
            caller.charged(999, customer=customer)
            return len(kept(world.engine))

        kept_meanwhile = pool.submit(charge)
        until_it_waits()
        stranger = shop.caller_with("pk_bbbbbbbbbbbb_" + "0" * 64).get("/v1/plans")
        taken = deliver(shop, world, event())

        assert (taken.status_code, stranger.status_code) == (200, 401)
    assert kept_meanwhile.result() == 1
    world.runtime.close()


def with_secret(world: World, secret: str) -> Settings:
    webhooks = world.runtime.settings.webhooks.model_copy(update={"secrets": (SecretStr(secret),)})
    return world.runtime.settings.model_copy(update={"webhooks": webhooks})


def deliver(shop: Shop, world: World, what: dict[str, Any]) -> requests.Response:
    body = json.dumps(what).encode()
    at = int(world.wall.timestamp())
    return requests.post(
        shop.api.http_url + ENDPOINT_PATH,
        data=body,
        headers={
            "content-type": "application/json",
            "stripe-signature": signature(body, NEW, at),
        },
        timeout=PATIENCE,
    )


def test_in_the_api_an_event_may_hold_what_looks_like_a_card_number(
    world: World,
) -> None:
    world.runtime = WorldRuntime(with_secret(world, NEW), world=world)
    with open_shop(world) as shop:
        answer = deliver(shop, world, event(request={"id": "4242 4242 4242 4242"}))

    assert (answer.status_code, answer.json()) == (200, {"received": True})
    assert len(kept(world.engine)) == 1
    world.runtime.close()
