"""A Redis that answers and takes no messages is told by everybody who looks."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
import redis
from prometheus_client import CollectorRegistry, generate_latest

from billing.workers.roles import health_server
from billing.workers.runtime.broker import queue_depth
from billing.workers.runtime.metrics import StateCollector
from billing.workers.runtime.runtime import Runtime
from tests.cli.world import World
from tests.waiting import PATIENCE

FULL = (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"))
REPLICA = (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"))
ALONE = (
    ("CONFIG", "SET", "min-replicas-to-write", "1"),
    ("CONFIG", "SET", "min-replicas-to-write", "0"),
)


@contextmanager
def taking_nothing(url: str, kind: tuple[tuple[str, ...], tuple[str, ...]]) -> Iterator[None]:
    broken, mended = kind
    with redis.Redis.from_url(url) as client:
        client.execute_command(*broken)
        try:
            yield
        finally:
            client.execute_command(*mended)


def ready(runtime: Runtime, role: Any) -> dict[str, Any]:
    with health_server(role, runtime, CollectorRegistry(), {}, port=0) as server:
        try:
            with urlopen(f"{server.url}/readyz", timeout=PATIENCE) as answer:
                found = json.load(answer)
        except HTTPError as refused:
            with refused:
                found = json.load(refused)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("kind", "words"),
    [(FULL, "maxmemory"), (REPLICA, "read only replica"), (ALONE, "replicas")],
    ids=["full", "replica", "alone"],
)
def test_a_redis_that_takes_no_messages_is_seen_at_once(
    world: World, redis_url: str, kind: Any, words: str
) -> None:
    runtime = world.runtime()
    registry = CollectorRegistry()
    registry.register(StateCollector(runtime))
    try:
        with taking_nothing(redis_url, kind):
            checked = world.run("doctor", "-o", "json")
            looked = {row["check"]: row for row in json.loads(checked.stdout)}
            status = world.run("status").stdout
            readiness = {role: ready(runtime, role) for role in ("scheduler", "worker")}
            metrics = generate_latest(registry).decode()
            depth = queue_depth(runtime.broker)

        assert (checked.exit_code, looked["Redis"]["result"]) == (3, "problem")
        assert words in looked["Redis"]["words"]
        assert "takes no more, charges wait" in " ".join(status.split())
        for told in readiness.values():
            assert not told["ready"]
            assert words in told["failed"]["redis"]
        assert "billing_queue_takes_messages 0.0" in metrics
        assert depth == 0
        assert ready(runtime, "worker") == {"ready": True, "failed": {}}
        assert "billing_queue_takes_messages 1.0" in generate_latest(registry).decode()
    finally:
        runtime.close()
