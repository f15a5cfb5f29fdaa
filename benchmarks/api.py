"""How many payments one API process makes and shows, with several callers at once.

Over HTTP on loopback, through the sandbox provider. API_PAYMENTS says how many payments are made,
API_CONNECTIONS how many callers there are.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from statistics import median
from typing import Any, Final

import psutil
import requests

from benchmarks.world import Servers, cpu_of_tree, environment, sandbox, servers
from billing.embedded.servers import free_port

PAYMENTS: Final = int(os.environ.get("API_PAYMENTS", "600"))
CONNECTIONS: Final = int(os.environ.get("API_CONNECTIONS", "8"))
SHOWN_EACH: Final = 3
CUSTOMERS: Final = 20
WARM: Final = 40
SECONDS_MAX: Final = 60.0
COMMAND: Final = (sys.executable, "-m", "billing.cli")


def run() -> None:
    """Print payments made and shown a second, how long each took, and what bounds it."""
    with servers() as world, sandbox(world) as provider, _api(world, provider) as api:
        for number in range(CUSTOMERS):
            api.post("/v1/customers", name="C", external_id=f"c{number}",
                     payment_method="pm_card_visa")  # fmt: skip
        numbers = count()
        made: list[str] = []

        def charge() -> None:
            number = next(numbers)
            order = {"amount": 1000 + number, "currency": "USD"}
            answer = api.post("/v1/payments", customer=f"c{number % CUSTOMERS}", **order)
            assert answer["state"] == "CAPTURED", answer
            made.append(answer["id"])

        def show() -> None:
            number = next(numbers)
            assert api.get(f"/v1/payments/{made[number % len(made)]}")["state"] == "CAPTURED"

        for work, verb, times in (
            (charge, "made", PAYMENTS),
            (show, "shown", PAYMENTS * SHOWN_EACH),
        ):
            _repeat(work, WARM)
            _measure(world, api, work, verb, times)


# --- the API, and its callers -------------------------------------------------------------------


@dataclass(frozen=True)
class _Api:
    """The running API; every thread that calls it has a connection of its own."""

    url: str
    key: str
    process: psutil.Process
    threads: threading.local
    keys: Iterator[int]

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        headers = {"Idempotency-Key": f"bench-{next(self.keys)}"}
        return self._body(self._http().post(self.url + path, json=body, headers=headers))

    def get(self, path: str) -> dict[str, Any]:
        return self._body(self._http().get(self.url + path))

    def _http(self) -> requests.Session:
        if not hasattr(self.threads, "session"):
            self.threads.session = requests.Session()
            self.threads.session.headers["Authorization"] = f"Bearer {self.key}"
        session: requests.Session = self.threads.session
        return session

    @staticmethod
    def _body(answer: requests.Response) -> dict[str, Any]:
        assert answer.ok, answer.text
        body: dict[str, Any] = answer.json()
        return body


@contextmanager
def _api(world: Servers, provider_url: str) -> Iterator[_Api]:
    env = environment(world, provider_url) | {
        "BILLING__API__PORT": str(free_port()),
        "BILLING__API__GRPC_PORT": "0",
        "BILLING__API__RATE_PER_SECOND": "1000000",
        "BILLING__API__RATE_BURST": "1000000",
    }
    key = subprocess.run(
        [*COMMAND, "keys", "create", "bench", "--scope", "admin"],
        env=env, check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    process = subprocess.Popen([*COMMAND, "api"], env=env)
    url = f"http://127.0.0.1:{env['BILLING__API__PORT']}"
    try:
        _wait_for(url, process)
        yield _Api(url, key, psutil.Process(process.pid), threading.local(), count())
    finally:
        process.terminate()
        process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    while True:
        assert process.poll() is None, "the API ended by itself"
        try:
            requests.get(url, timeout=1)
        except requests.ConnectionError:
            time.sleep(0.05)
        else:
            return


# --- measuring ----------------------------------------------------------------------------------


def _repeat(work: Callable[[], None], times: int) -> Sequence[float]:
    """Do the same over all connections, and return how long each took; stop when it takes long."""
    deadline = time.perf_counter() + SECONDS_MAX

    def timed(_: int) -> float | None:
        started = time.perf_counter()
        if started > deadline:
            return None
        work()
        return time.perf_counter() - started

    with ThreadPoolExecutor(CONNECTIONS) as callers:
        return [took for took in callers.map(timed, range(times)) if took is not None]


def _measure(world: Servers, api: _Api, work: Callable[[], None], verb: str, times: int) -> None:
    parts: Mapping[str, psutil.Process] = {
        "API": api.process,
        "PostgreSQL": psutil.Process(world.postgres_pid),
        "sandbox": world.others[0],
        "callers": psutil.Process(),
    }
    before = {name: _cpu(name, process) for name, process in parts.items()}
    started = time.perf_counter()
    took = _repeat(work, times)
    seconds = time.perf_counter() - started
    spent = {name: _cpu(name, process) - before[name] for name, process in parts.items()}
    done = len(took)
    print(
        f"{verb} {done} payments in {seconds:.1f} s: {done / seconds:.0f} a second over"
        f" {CONNECTIONS} connections to one process, {median(took) * 1000:.1f} ms each"
    )
    shares = ", ".join(
        f"{name} {used / seconds:.0%} of a core ({used / done * 1000:.2f} ms each)"
        for name, used in spent.items()
    )
    print(f"bound by the busiest of: {shares}")


def _cpu(name: str, process: psutil.Process) -> float:
    """Return processor seconds; the callers are this process, whose children are the others."""
    if name != "callers":
        return cpu_of_tree(process)
    times = process.cpu_times()
    return times.user + times.system
