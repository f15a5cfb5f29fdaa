"""The sandbox as a process: killed, drained, and alone on its data."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import stripe

from billing.sandbox import SandboxServer
from tests import processes
from tests.contract.cards import captures, charge, customer_with, declined
from tests.contract.conftest import Shop
from tests.waiting import PATIENCE, until

ROOT = Path(__file__).resolve().parents[2]


def _command(data: Path) -> list[str]:
    port_file = data.with_suffix(".port")
    port_file.unlink(missing_ok=True)
    return [
        *(sys.executable, "-m", "billing.sandbox"),
        *("--data", str(data), "--port-file", str(port_file)),
    ]


@contextmanager
def _running(data: Path) -> Iterator[tuple["subprocess.Popen[str]", Shop]]:
    with processes.running(_command(data), cwd=ROOT, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        ready = process.stderr.readline()
        assert "ready on http://127.0.0.1:" in ready, ready
        port = data.with_suffix(".port").read_text().strip()
        shop = Shop(f"http://127.0.0.1:{port}")
        try:
            yield process, shop
        finally:
            shop.close()
    assert shop.problems == []


def test_everything_survives_kill_9(tmp_path: Path) -> None:
    with _running(tmp_path / "data") as (process, shop):
        client = shop.client()
        customer, method = customer_with(client, "pm_sbx_decline_1_then_ok")
        declined(client, customer, method, key="k1")
        paid = charge(client, customer, method, "k2")
        shop.control("POST", "clock", now=paid.created + 60)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    with _running(tmp_path / "data") as (_, shop):
        client = shop.client()
        assert client.v1.payment_intents.retrieve(paid.id).status == "succeeded"
        assert shop.control("GET", "clock") == {"now": paid.created + 60, "pinned": True}
        assert charge(client, customer, method, "k2").id == paid.id
        declined(client, customer, method, key="k1")
        assert captures(client) == 1


def test_a_kill_in_the_middle_leaves_each_key_with_its_effect_or_without_both(
    tmp_path: Path,
) -> None:
    sent: list[str] = []
    with _running(tmp_path / "data") as (process, shop):
        customer, method = customer_with(shop.client())

        def send(worker: int) -> None:
            client = shop.client()
            for n in range(10_000):
                sent.append(key := f"{worker}-{n}")
                try:
                    charge(client, customer, method, key, metadata={"key": key})
                except stripe.APIConnectionError:
                    return

        threads = [threading.Thread(target=send, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        until(lambda: len(sent) > 40)
        os.kill(process.pid, signal.SIGKILL)
        for thread in threads:
            thread.join()

    with _running(tmp_path / "data") as (_, shop):
        client = shop.client()
        for key in sent[-8:]:
            charge(client, customer, method, key, metadata={"key": key})
        pages = client.v1.payment_intents.list({"limit": 100})
        made = [intent.metadata["key"] for intent in pages.auto_paging_iter()]
        assert sorted(made) == sorted(sent)


def test_sigterm_lets_the_request_at_hand_finish(tmp_path: Path) -> None:
    with _running(tmp_path / "data") as (process, shop):
        client = shop.client()
        customer, method = customer_with(client)
        shop.fault("slow", delay_ms=1000, match={"path": "/v1/payment_intents"})
        answers: list[str] = []
        sender = threading.Thread(
            target=lambda: answers.append(charge(client, customer, method).status)
        )
        sender.start()
        until(lambda: shop.stats()["faults"])

        process.terminate()

        sender.join()
        assert (answers, process.wait(PATIENCE)) == (["succeeded"], 0)


def test_a_second_sandbox_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with _running(tmp_path / "data"):
        second = processes.run(_command(tmp_path / "data"), cwd=ROOT)

    assert second.returncode == 4
    assert "can't start" in second.stderr


def test_data_of_the_first_version_is_taken_over(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "sandbox.sqlite3") as db:
        db.executescript(_FIRST_SCHEMA)
    db.close()

    with SandboxServer(tmp_path) as server:
        shop = Shop(server.url)
        found = shop.client().v1.payment_intents.list({"customer": "cus_1"}).data
        shop.close()

    assert ([each.id for each in found], shop.problems) == (["pi_1"], [])


_INTENT = {
    **{"id": "pi_1", "created": 1, "customer": "cus_1", "amount": 5, "currency": "usd"},
    **{"received": 0, "capture_method": "automatic", "confirmation_method": "automatic"},
    **{"description": None, "latest_charge": None, "metadata": {}, "payment_method": None},
    **{"types": ["card"], "status": "requires_payment_method"},
}
_FIRST_SCHEMA = f"""
CREATE TABLE objects (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, created INTEGER NOT NULL,
  customer TEXT, parent TEXT, subtype TEXT, body TEXT NOT NULL) STRICT;
CREATE INDEX objects_by_customer ON objects (customer, kind, created, seq)
  WHERE customer IS NOT NULL;
INSERT INTO objects (id, kind, created, customer, body)
  VALUES ('pi_1', 'payment_intent', 1, 'cus_1', '{json.dumps(_INTENT)}');
"""


@pytest.mark.parametrize(
    "line", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"]
)
def test_bytes_that_are_no_request_get_a_4xx(shop: Shop, line: bytes) -> None:
    port = int(shop.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(line)
        assert connection.recv(100).startswith(b"HTTP/1.1 4")
