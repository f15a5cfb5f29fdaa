"""The whole engine as it is shipped, in processes, before people and a provider that talk."""

import contextlib
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests

from billing.api.generated.perennial.v1 import payments_pb2
from billing.embedded.servers import free_port
from billing.flows.context import Clock
from billing.flows.service import api_keys
from billing.flows.service.api_keys import Scope
from billing.rules.actor import Actor, ActorKind
from billing.sandbox import SandboxServer
from billing.workers.runtime.runtime import SANDBOX_FILE
from tests.api.caller import PEPPER, Caller
from tests.cards.indiscreet import Indiscreet
from tests.cards.spelled import SPELLINGS, found_in
from tests.cards.traces import assert_no_trace, dump, everything_in_redis, metrics_page
from tests.delivery.engine_under_test import EngineUnderTest
from tests.waiting import PATIENCE
from tests.webhook_endpoint import event, signature

SECRET = "whsec_of_the_processes"
ROLES = ("scheduler", "worker", "reconciler", "api")


@contextlib.contextmanager
def standing_in(provider: Indiscreet, servers: Path) -> Iterator[Indiscreet]:
    """Let a provider be the one that the processes take for the embedded sandbox."""
    with provider:
        (servers / SANDBOX_FILE).write_text(json.dumps({"url": provider.url}))
        yield provider


def visit(caller: Caller, clock: Clock) -> None:
    """Send a card number to every endpoint, and send what is in order between."""
    customer = {"customer": "customer-0"}
    for text in SPELLINGS:
        body = {"amount": 999, "currency": "USD", "description": text, **customer}
        refused = caller.post("/v1/payments", body)
        assert (refused.status_code, found_in(refused.text)) == (422, set())
        order = payments_pb2.ChargeRequest(
            idempotency_key="k", amount_cents=1, currency="USD", payment_source=text
        )
        with pytest.raises(grpc.RpcError):
            caller.rpc.Charge(order, metadata=caller.metadata, timeout=PATIENCE)
        odd = json.dumps(event(f"evt_{len(text)}", note=[text])).encode()
        told = requests.post(
            f"{caller.url}/v1/webhooks/stripe",
            data=odd,
            headers={
                "content-type": "application/json",
                "stripe-signature": signature(odd, SECRET, int(clock.wall().timestamp())),
            },
            timeout=PATIENCE,
        )
        assert (told.status_code, found_in(told.text)) == (200, set())
    made: dict[str, Any] = caller.charged(500, **customer)
    back = caller.post(f"/v1/payments/{made['id']}/refunds", {"amount": 200, "reason": "too much"})
    assert back.status_code == 201, back.text


@pytest.mark.slow
def test_no_process_leaves_a_card_number_anywhere(
    tmp_path: Path, db_url: str, redis_url: str, sandbox: SandboxServer
) -> None:
    """Not in the database, in Redis, in metrics, nor in what any process writes, at debug level."""
    http, rpc, *health = [free_port() for _ in range(2 + len(ROLES))]
    pages: dict[str, Any] = {
        f"metrics__{role}_port": str(port) for role, port in zip(ROLES, health, strict=True)
    }
    servers = tmp_path / "servers"
    servers.mkdir()
    with (
        standing_in(Indiscreet(sandbox.url), servers) as provider,
        EngineUnderTest(
            tmp_path,
            apis=1,
            database__url=db_url,
            redis__url=redis_url,
            providers__stripe__api_base=provider.url,
            providers__stripe__api_key="sk_test_of_the_processes",
            api__port=str(http),
            api__grpc_port=str(rpc),
            api__pepper=PEPPER,
            webhooks__secrets=SECRET,
            logs__level="debug",
            logs__format="json",
            **pages,
        ) as engine,
    ):
        engine.populate(8, cards=("pm_card_visa", "pm_sbx_decline_2_then_ok"))
        _, key = api_keys.create(
            engine.runtime.engine, name="shop", scopes=(Scope.ADMIN,), pepper=PEPPER,
            wall=engine.runtime.clock.wall(), actor=Actor(ActorKind.CLI, "test"),
        )  # fmt: skip
        engine.wait_until(lambda: answers(http))
        with contextlib.closing(Caller(f"http://127.0.0.1:{http}", f"127.0.0.1:{rpc}", key)) as c:
            engine.run(lambda: visit(c, engine.runtime.clock))
        engine.run(lambda: engine.let_pass(timedelta(days=40)))
        engine.wait_until_quiet()

        written = [log.read_text() for log in sorted((tmp_path / "logs").glob("*.log"))]
        metrics = "\n".join(metrics_page(port) for port in health)
        assert len(written) == len(ROLES)
        assert "billing_charge_failures_total" in metrics
        assert provider.said > 50
        assert_no_trace(
            database=dump(db_url),
            redis=everything_in_redis(redis_url),
            metrics=metrics,
            processes="\n".join(written),
        )
        assert sum(engine.restarts().values()) == 0, "nobody fell over"


def answers(port: int) -> bool:
    try:
        return (
            requests.get(f"http://127.0.0.1:{port}/v1/plans", timeout=PATIENCE).status_code == 401
        )
    except requests.ConnectionError:
        return False


def test_the_search_would_find_one(db_url: str, redis_url: str) -> None:
    """A search that finds nothing proves something only if it would have found it."""
    import psycopg
    import redis

    for text in SPELLINGS:
        with psycopg.connect(db_url, autocommit=True) as conn:
            conn.execute("CREATE TABLE IF NOT EXISTS left_over (words jsonb)")
            conn.execute("INSERT INTO left_over VALUES (%s)", [json.dumps({"a": [text]})])
        with redis.Redis.from_url(redis_url) as client:
            client.hset("left", "over", text)
        for place in (dump(db_url), everything_in_redis(redis_url), json.dumps({"event": text})):
            with pytest.raises(AssertionError):
                assert_no_trace(place=place)
        with psycopg.connect(db_url, autocommit=True) as conn:
            conn.execute("DROP TABLE left_over")
    assert_no_trace(place=dump(db_url))
