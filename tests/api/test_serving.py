"""The role as a process: it comes up, tells how it is, and ends well on TERM."""

import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import text

from billing.api.generated.perennial.v1 import payments_pb2 as pb
from billing.config import load_settings
from billing.embedded.servers import free_port
from billing.errors import BadInput, Unavailable
from billing.flows.service import api_keys
from billing.flows.service.api_keys import Scope
from billing.rules.actor import Actor, ActorKind
from billing.workers.runtime.peppers import PEPPER_FILE, pepper
from tests import processes
from tests.api.caller import Caller, Shop, fresh
from tests.scenarios.world import World
from tests.waiting import PATIENCE, until

ROOT = Path(__file__).parents[2]
PEPPER = "p" * 32


class Role:
    """`billing api` in a process of its own."""

    def __init__(self, db_url: str, psp_url: str, folder: Path) -> None:
        self.port, self.grpc_port, self.health_port = free_port(), free_port(), free_port()
        ours = {name: value for name, value in os.environ.items() if "BILLING__" not in name}
        settings = {
            "DATABASE__URL": db_url,
            "PROVIDERS__STRIPE__API_BASE": psp_url,
            "PROVIDERS__STRIPE__API_KEY": "sk_test_role",
            "API__PORT": str(self.port),
            "API__GRPC_PORT": str(self.grpc_port),
            "API__PEPPER": PEPPER,
            "METRICS__API_PORT": str(self.health_port),
            "LOGS__FORMAT": "json",
        }
        self.log = folder / "api.log"
        env = {f"BILLING__{name}": value for name, value in settings.items()}
        with self.log.open("wb") as log:
            self._running = processes.running(
                [sys.executable, "-m", "billing.cli", "api"],
                cwd=folder,
                env={**ours, "PYTHONPATH": str(ROOT), **env},
                stderr=log,
            )
            self.process = self._running.__enter__()

    def kill(self) -> None:
        self._running.__exit__(None, None, None)

    def page(self, path: str) -> requests.Response:
        return requests.get(f"http://127.0.0.1:{self.health_port}{path}", timeout=PATIENCE)

    def await_ready(self) -> None:
        def ready() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            try:
                return self.page("/readyz").status_code == 200
            except requests.ConnectionError:
                return False

        until(ready, self.log)

    def caller(self, key: str) -> Caller:
        return Caller(f"http://127.0.0.1:{self.port}", f"127.0.0.1:{self.grpc_port}", key)


@pytest.fixture
def role(world: World, db_url: str, sandbox: Any, tmp_path: Path) -> Iterator[Role]:
    """A running role, killed at the end if it still runs."""
    role = Role(db_url, sandbox.url, tmp_path)
    try:
        role.await_ready()
        yield role
    finally:
        role.kill()


def key_for(world: World) -> str:
    _, key = api_keys.create(
        world.engine, name="shop", scopes=[Scope.ADMIN], pepper=PEPPER, wall=world.wall,
        actor=Actor(ActorKind.CLI, "test"),
    )  # fmt: skip
    return key


def test_on_term_the_role_answers_what_is_in_hand_and_ends(role: Role, world: World) -> None:
    customer = str(world.customer()[0])
    caller = role.caller(key_for(world))
    assert caller.found("/v1/plans")["data"]
    assert [role.page(path).status_code for path in ("/livez", "/readyz", "/metrics")] == [200] * 3
    assert "billing_api_requests_total" in role.page("/metrics").text
    order = {"amount": 999, "currency": "USD", "customer": customer}

    with ThreadPoolExecutor(2) as pool, world.psp.holding_charges(2) as until_both_wait:
        by_http = pool.submit(caller.post, "/v1/payments", order)
        request = pb.ChargeRequest(
            idempotency_key=fresh(), amount_cents=999, currency="USD", customer=customer
        )
        by_rpc = pool.submit(
            lambda: caller.rpc.Charge(request, metadata=caller.metadata, timeout=PATIENCE)
        )
        until_both_wait()
        role.process.send_signal(signal.SIGTERM)
        until(lambda: role.page("/readyz").status_code == 503, "it is being stopped")
    assert by_http.result().json()["state"] == "CAPTURED"
    assert by_rpc.result().payment.state == pb.PAYMENT_STATE_CAPTURED

    assert role.process.wait(timeout=PATIENCE) == 0
    with pytest.raises(requests.ConnectionError):
        caller.get("/v1/plans")
    log = role.log.read_text()
    assert caller.key.split("_")[2] not in log
    assert "Traceback" not in log
    caller.close()


def test_a_charge_of_a_killed_role_is_finished_by_its_key(
    role: Role, db_url: str, sandbox: Any, tmp_path: Path, world: World
) -> None:
    customer = str(world.customer()[0])
    caller, key = role.caller(key_for(world)), fresh()
    order = {"amount": 999, "currency": "USD", "customer": customer}

    with ThreadPoolExecutor(1) as pool, world.psp.holding_charges() as until_it_waits:
        asked = pool.submit(caller.post, "/v1/payments", order, key)
        until_it_waits()
        role.kill()
        with pytest.raises(requests.ConnectionError):
            asked.result()
    payment_id = _only_payment(world)
    _expire_leases(world)
    again = Role(db_url, sandbox.url, tmp_path)
    try:
        again.await_ready()
        successor = again.caller(caller.key)

        def final() -> requests.Response | None:
            answer = successor.post("/v1/payments", order, key)
            return None if answer.status_code == 202 else answer

        answer = until(lambda: [found for found in [final()] if found is not None])[0]
        assert (answer.status_code, answer.json()["id"]) == (201, payment_id)
        assert world.psp.captured() == {"USD": 999}
        successor.close()
    finally:
        again.kill()
        caller.close()


def _only_payment(world: World) -> str:
    with world.engine.connect() as conn:
        return str(conn.execute(text("SELECT id FROM payments")).scalar_one())


def _expire_leases(world: World) -> None:
    """Let the minutes pass that a killed process's leases last."""
    with world.engine.begin() as conn:
        conn.execute(text("UPDATE payments SET lease_until = now() - interval '1 second'"))
        conn.execute(text("UPDATE idempotency_keys SET lease_until = now() - interval '1 second'"))


def test_a_port_that_is_taken_is_told(shop: Shop, world: World) -> None:
    for setting, port in (("port", shop.api.http_port), ("grpc_port", shop.api.rpc.port)):
        with pytest.raises(Unavailable, match="can't listen"):
            Shop(world, **{setting: port})


def test_a_role_that_drains_is_not_ready(shop: Shop) -> None:
    before = shop.api.draining()

    shop.api.stop()

    assert (before, shop.api.draining()) == (None, "it is being stopped")


# --- the pepper ---------------------------------------------------------------------------------


def test_in_sandbox_mode_a_pepper_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings(None, {})

    first, again = pepper(settings), pepper(settings)

    file = settings.embedded.dir / PEPPER_FILE
    assert first == again == file.read_text()
    assert len(first) == 64
    assert file.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in settings.embedded.dir.iterdir()] == [PEPPER_FILE]


def test_in_live_mode_a_pepper_has_to_be_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(BadInput, match="pepper"):
        pepper(load_settings(None, {"BILLING__MODE": "live"}))
    live = load_settings(None, {"BILLING__MODE": "live", "BILLING__API__PEPPER": PEPPER})
    assert pepper(live) == PEPPER
    assert PEPPER not in str(live.show())
