"""What a role tells its surroundings over HTTP and to systemd."""

import json
import socket
import struct
import threading
from collections.abc import Mapping
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry, Counter

from billing.errors import BadInput, Unavailable
from billing.workers.runtime import health
from billing.workers.runtime.health import HealthServer, ReadinessCheck, notify_systemd
from tests.waiting import PATIENCE, until


def get(url: str) -> tuple[int, str]:
    try:
        with urlopen(url, timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def raising() -> str | None:
    raise OSError("connect to postgresql://me:hush@host failed")


@pytest.mark.parametrize(
    ("checks", "status", "failed"),
    [
        ({}, 200, {}),
        ({"database": lambda: None}, 200, {}),
        ({"database": lambda: "no answer", "redis": lambda: None}, 503, {"database": "no answer"}),
        ({"database": raising}, 503, {"database": "OSError"}),
    ],
)
def test_readiness_is_what_the_checks_say(
    checks: Mapping[str, ReadinessCheck], status: int, failed: dict[str, str]
) -> None:
    with HealthServer(CollectorRegistry(), readiness=checks) as server:
        found, body = get(f"{server.url}/readyz")

    assert found == status
    assert json.loads(body) == {"ready": not failed, "failed": failed}


def test_a_note_is_told_and_leaves_the_role_ready() -> None:
    notes: dict[str, ReadinessCheck] = {"recovering": lambda: "stripe: behind", "x": lambda: None}
    with HealthServer(CollectorRegistry(), notes=notes) as server:
        found, body = get(f"{server.url}/readyz")

    assert found == 200
    told = {"recovering": "stripe: behind"}
    assert json.loads(body) == {"ready": True, "failed": {}, "notes": told}


def test_a_role_that_is_not_ready_is_alive_all_the_same() -> None:
    with HealthServer(CollectorRegistry(), readiness={"database": raising}) as server:
        assert get(f"{server.url}/livez") == (200, "ok\n")


def test_a_check_that_hangs_is_a_reason_and_is_not_asked_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "CHECKS_SECONDS", 0.1)
    asked, over = [], threading.Event()

    def hang() -> str | None:
        asked.append(1)
        over.wait(PATIENCE)
        return None

    checks: dict[str, ReadinessCheck] = {"database": hang, "redis": lambda: None}
    with HealthServer(CollectorRegistry(), readiness=checks) as server:
        found = [get(f"{server.url}/readyz") for _ in range(3)]
        times_asked = len(asked)
        over.set()
        until(lambda: get(f"{server.url}/readyz")[0] == 200)

    told = {"database": "no answer within 0.1 seconds"}
    assert [status for status, _ in found] == [503] * 3
    assert [json.loads(body)["failed"] for _, body in found] == [told] * 3
    assert times_asked == 1


def test_the_metrics_of_the_registry_are_served() -> None:
    registry = CollectorRegistry()
    Counter("billing_things", "Things.", registry=registry).inc()

    with HealthServer(registry) as server:
        assert "billing_things_total 1.0" in get(f"{server.url}/metrics?x=1")[1]
        assert get(f"{server.url}/other")[0] == 404


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_every_interface_is_refused(host: str) -> None:
    with pytest.raises(BadInput, match="every interface"):
        HealthServer(CollectorRegistry(), host=host)


def test_a_taken_port_is_an_error_with_a_remedy() -> None:
    with HealthServer(CollectorRegistry()) as server, pytest.raises(Unavailable, match="listen"):
        HealthServer(CollectorRegistry(), port=server.port)


def test_systemd_is_told_where_it_asked_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a relative name: socket paths are short
    monkeypatch.setenv("NOTIFY_SOCKET", "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("notify")

        assert notify_systemd("READY=1")
        assert manager.recv(100) == b"READY=1"

    monkeypatch.delenv("NOTIFY_SOCKET")
    assert not notify_systemd("READY=1")


def test_whoever_hangs_up_leaves_one_line_and_no_traceback(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("INFO")

    def slow() -> str | None:
        hung_up.wait(PATIENCE)
        return "x" * 10_000_000  # more than the buffers of a connection hold

    hung_up = threading.Event()
    with HealthServer(CollectorRegistry(), readiness={"database": slow}) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        hung_up.set()
        until(lambda: any("was not taken" in line for line in caplog.messages))

    assert "Traceback" not in capfd.readouterr().err
    assert caplog.records[-1].exc_info is None
