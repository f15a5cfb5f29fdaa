"""`billing up` and `billing demo` as a person runs them: in a folder of their own, from a shell."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
import pytest

from billing.embedded import orphans
from billing.embedded.servers import EmbeddedPostgres, EmbeddedValkey, free_port
from billing.workers.up.state_file import read_status
from tests import processes
from tests.cli.world import Cli, environment
from tests.delivery.engine_under_test import ROOT, EngineUnderTest, foreign
from tests.delivery.turns import in_turn
from tests.waiting import PATIENCE, until

ROLES = ("scheduler", "worker", "reconciler")


class Folder:
    """A folder with what `billing init` wrote, and commands run in it.

    `cli` runs them in this process: a start of Python takes longer than what most of them do.
    """

    def __init__(self, path: Path, **settings: str) -> None:
        self.path = path
        self.cli = Cli(path, dict(environment(**settings)))
        self.env = {**foreign(), "PYTHONPATH": str(ROOT), **self.cli.env}

    def billing(self, *args: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        return processes.run(
            [sys.executable, "-m", "billing.cli", *args], cwd=self.path, env=self.env
        )

    def destroy(self) -> None:
        """Delete what the embedded servers keep, also elsewhere."""
        EmbeddedPostgres(self.path / ".perennial").destroy()
        EmbeddedValkey(self.path / ".perennial").destroy()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    ports = {f"metrics__{role}_port": str(free_port()) for role in ROLES}
    ports |= {
        name: "0" for name in ("api__port", "api__grpc_port", "console__port", "metrics__api_port")
    }
    folder = Folder(tmp_path, scheduler__tick="100ms", reconciler__tick="500ms", **ports)
    try:
        yield folder
    finally:
        folder.destroy()


class Up:
    """One run of `billing up`, killed with all its children at the end if it still runs."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._log = folder.path / "up.log"

    def __enter__(self) -> Self:
        with self._log.open("wb") as output:
            self.process = orphans.spawn(
                [sys.executable, "-m", "billing.cli", "up"],
                env=self._folder.env, cwd=self._folder.path, output=output,
            )  # fmt: skip
        try:
            until(lambda: "everything runs" in self.said() or self.process.poll() is not None)
            assert self.process.poll() is None, self.said()
            self.family = psutil.Process(self.process.pid).children(recursive=True)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def end(self, signum: signal.Signals) -> int:
        """Send a signal and return the exit code, once the process has ended."""
        self.process.send_signal(signum)
        return self.process.wait(PATIENCE)

    def left_behind(self) -> list[str]:
        """Return who is still there of those that were started; who waits to be buried is gone."""
        return [name for process in self.family if (name := _alive(process)) is not None]


def _alive(process: psutil.Process) -> str | None:
    try:
        return None if process.status() == psutil.STATUS_ZOMBIE else " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return None


def page(port: str, name: str) -> tuple[int, str]:
    """Return status and body of a role's page."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/{name}", timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def last_words_in_order(said: str, words: Mapping[str, str]) -> list[str]:
    """Return whose last words came when."""
    places = {name: said.rindex(text) for name, text in words.items()}
    return sorted(places, key=lambda name: places[name])


@pytest.mark.slow
def test_up_runs_it_all_and_finds_its_data_again_however_it_was_stopped(folder: Folder) -> None:
    assert folder.billing("init").returncode == 0

    with Up(folder) as up:
        assert folder.cli.run("plans", "apply", "--yes").exit_code == 0
        folder.cli.json("customers", "create", "--name", "Ada", "--external-id", "ada",
                        "--payment-method", "pm_card_visa")  # fmt: skip
        folder.cli.json("subscribe", "ada", "example-monthly", "--currency", "EUR", "--no-trial")
        folder.cli.json("clock", "advance", "40d", "--yes")
        captured = folder.cli.json("charges", "list")
        assert len(captured) == 2
        assert {charge["state"] for charge in captured} <= {"CAPTURED", "SETTLED"}
        until(lambda: folder.cli.run("prove").exit_code == 0)
        (made,) = folder.cli.json("webhooks", "trigger", "customer.created")
        until(lambda: source_of(folder, made["event_id"]) == "webhook")
        for role in ROLES:
            assert_pages_answer(folder.env[f"BILLING__METRICS__{role.upper()}_PORT"], role)
        assert len(up.family) >= 6  # and PostgreSQL's own
        up.end(signal.SIGKILL)
        until(lambda: up.left_behind() == [])
        assert read_status(folder.path / ".perennial" / "supervisor.json") is None

    with Up(folder) as up:
        found = folder.cli.json("charges", "list")
        assert [charge["id"] for charge in found] == [charge["id"] for charge in captured]
        assert up.end(signal.SIGTERM) == 0
        assert up.left_behind() == []
        assert last_words_in_order(
            up.said(),
            {
                "reconciler": "reconciler is down",
                "worker": "worker is down",
                "scheduler": "scheduler is down",
                "valkey": "ready to exit",
                "postgres": "database system is shut down",
            },
        ) == ["reconciler", "worker", "scheduler", "valkey", "postgres"]

    with Up(folder) as up:  # the API has another port now
        (made,) = folder.cli.json("webhooks", "trigger", "customer.created")
        until(lambda: source_of(folder, made["event_id"]) == "webhook")
        assert folder.billing("prove").returncode == 0, "as a person runs it"
        assert up.end(signal.SIGINT) == 0
        assert up.left_behind() == []


def source_of(folder: Folder, event_id: str) -> str | None:
    """Return how an event reached us; None while it didn't."""
    found = folder.cli.run("webhooks", "show", event_id, "-o", "json")
    return str(json.loads(found.stdout)["source"]) if found.exit_code == 0 else None


def assert_pages_answer(port: str, role: str) -> None:
    assert page(port, "livez")[0] == 200
    assert page(port, "readyz")[0] == 200
    status, metrics = page(port, "metrics")
    assert status == 200
    assert f'billing_build_info{{role="{role}"' in metrics
    promtool = shutil.which("promtool")
    if promtool is not None:
        checked = subprocess.run(
            [promtool, "check", "metrics"], input=metrics, capture_output=True, text=True,
            check=False, timeout=PATIENCE,
        )  # fmt: skip
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_without_redis_a_role_is_alive_but_not_ready_until_it_is_back(
    tmp_path: Path, db_url: str
) -> None:
    valkey = EmbeddedValkey(tmp_path / "valkey", durable=False)
    ports = {role: str(free_port()) for role in ROLES}
    try:
        valkey.start()
        with EngineUnderTest(
            tmp_path,
            database__url=db_url,
            redis__url=valkey.url,
            metrics__scheduler_port=ports["scheduler"],
            metrics__worker_port=ports["worker"],
            metrics__reconciler_port=ports["reconciler"],
        ) as engine:
            engine.populate(5)
            for port in ports.values():
                engine.wait_until(lambda port=port: answers(port, 200))  # type: ignore[misc]

            valkey.stop()

            for role in ("scheduler", "worker"):
                status, said = page(ports[role], "readyz")
                assert (status, list(json.loads(said)["failed"])) == (503, ["redis"])
            assert page(ports["reconciler"], "readyz")[0] == 200
            assert {page(port, "livez")[0] for port in ports.values()} == {200}

            valkey.start()

            for port in ports.values():
                engine.wait_until(lambda port=port: answers(port, 200))  # type: ignore[misc]
            engine.run(lambda: engine.let_pass(timedelta(days=2)))
            engine.assert_everything_adds_up()
            assert engine.sandbox.stats()["captures"] == 5
            assert sum(engine.restarts().values()) == 0
    finally:
        valkey.destroy()


def answers(port: str, status: int) -> bool:
    """Tell whether /readyz says so; False while nobody listens there."""
    try:
        return page(port, "readyz")[0] == status
    except OSError:
        return False


@pytest.mark.slow
@in_turn("the demo")
def test_the_demo_ends_well_and_tells_what_happened(folder: Folder) -> None:
    done = folder.billing("demo", "--subscriptions", "40", "--months", "1", "--json")

    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["subscriptions"] == 40
    assert report["provider_captures"] == report["captured_payments"] > 0
    by_provider = report["captures_by_provider"]
    assert sum(by_provider.values()) == report["provider_captures"]
    assert min(by_provider.values()) > 0
    assert report["cycles_opened"] >= report["cycles_closed"] > 0
    assert sum(report["declines_by_code"].values()) > 0
    nothing = ("double_charges", "missed_periods", "ledger_imbalance")
    assert {name: report[name] for name in nothing} == dict.fromkeys(nothing, 0)
    assert {"recovered_by_dunning", "faults_injected", "seconds"} <= report.keys()
    assert_all_kinds_of_money_moved(report)
    assert_everything_was_sold(report)
    assert_usage_was_billed(report)
    assert report["usage_rows"] > report["usage_sent"]
    assert report["forced_corrections"] == report["faults_by_kind"]["paid_behind_our_back"] == 1
    assert report["webhooks_lost"] == report["webhooks_swept"] > 0
    assert report["webhooks_repeated"] > 0
    assert report["webhooks_held_back"] > 0
    assert not (folder.path / ".perennial" / "demo").exists(), "its data are gone"


@pytest.mark.slow
@in_turn("the demo without faults")
def test_the_demo_without_faults_moves_money_all_the_same(folder: Folder) -> None:
    done = folder.billing(
        "demo", "--subscriptions", "40", "--months", "1", "--no-faults", "-o", "json"
    )

    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert_all_kinds_of_money_moved(report)
    assert_everything_was_sold(report)
    assert_usage_was_billed(report)
    assert (report["forced_corrections"], report["faults_by_kind"]) == (0, {})
    assert (report["webhooks_lost"], report["webhooks_swept"]) == (0, 0)


def assert_all_kinds_of_money_moved(report: Mapping[str, Any]) -> None:
    assert report["holds"] is True
    assert report["settled_payments"] == report["captured_payments"]
    assert report["refunds"] == report["refunds_by_state"]["succeeded"] > 1
    assert report["refunds_by_state"]["failed"] == 2, "one of a payment, one of a credit note"
    assert set(report["disputes_by_state"]) == {"won", "lost", "inquiry_closed"}
    assert report["disputes"] == sum(report["disputes_by_state"].values())
    assert report["fx_events"] > 1, "charged in yen, and a refund of it"
    assert report["webhooks_delivered"] > 0
    assert report["breaks_by_kind"] == {"unknown_at_provider": 1}
    assert report["breaks_open"] == len(report["breaks_left_open_on_purpose"]) == 1
    assert report["provider_captures_unknown"] == 1
    assert report["balance_unexplained"] == 0
    assert set(report["paid_out"]["braintree"]) == {"eur", "usd"}


def assert_usage_was_billed(report: Mapping[str, Any]) -> None:
    assert report["usage_sent"] == report["usage_counted"] > 0
    assert report["usage_repeated"] > 0
    assert report["usage_late"] > 0
    assert set(report["usage_billed"]) == {"calls", "callers"}
    assert min(report["usage_amount"][currency] for currency in ("eur", "usd")) > 0


def assert_everything_was_sold(report: Mapping[str, Any]) -> None:
    assert report["subscriptions_with_items"] >= report["charged_once"] > 0
    assert report["addons"] == 3
    assert report["free_periods"] > 1
    assert report["coupons_redeemed"] > 4
    assert report["invoices_discounted"] > 4
    for currency in ("usd", "eur", "jpy"):
        became = ("credit_used", "credit_expired", "credit_left")
        assert report["credit_granted"][currency] == sum(report[key][currency] for key in became)
    assert report["credit_expired"]["eur"] == 500
    assert report["credit_used"]["eur"] > 0
    assert report["changes_by_time"] == {"now": 4, "period_end": 2}
    assert report["credit_notes_by_destination"] == {"credit": 3, "refund": 2}
