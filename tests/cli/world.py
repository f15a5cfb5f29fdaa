"""A small world to look at from the command line: the engine's flows, called in this process."""

import getpass
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from billing.cli.root import root
from billing.config import load_settings
from billing.flows.cycles import closing, opening
from billing.flows.payments import collecting
from billing.flows.settlement import charge_list, runs
from billing.store import clock as stored
from billing.workers.runtime.runtime import Runtime
from billing.workers.up.sandbox import SandboxClient
from tests.waiting import PATIENCE


def me() -> str:
    """Return who types, as histories and the audit log name them."""
    return f"cli:{getpass.getuser()}"


START = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)
CATALOG = """\
product = "Video streaming"

[[plan]]
code = "video-basic"
every = "1 month"

  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "9.99", EUR = "8.99" }

[[plan]]
code = "video-trial"
every = "1 month"
trial = "14 days"
retry_after = ["3d", "5d"]
then = "unpaid"

  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "19.99" }
"""


@dataclass
class Cli:
    """Runs commands in a folder of their own, with an environment of their own."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def run(self, *args: str, input: str | None = None, **env: str) -> Result:
        """Run one command line, as `billing` would."""
        before = Path.cwd()
        os.chdir(self.folder)
        try:
            return CliRunner().invoke(
                root, args, prog_name="billing", input=input, env={**self.env, **env}
            )
        finally:
            os.chdir(before)

    def json(self, *args: str, **env: str) -> Any:
        """Run a command that has to succeed and return its data."""
        result = self.run(*args, "-o", "json", **env)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def lines(self, *args: str) -> list[Any]:
        """Run a command that has to succeed and return its data, an object a line."""
        result = self.run(*args, "-o", "jsonl")
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]


@dataclass
class World(Cli):
    """A migrated database, a provider, and time that moves when the test says so."""

    sandbox_url: str = ""

    def runtime(self) -> Runtime:
        """Make the parts that processes are made of; to be closed."""
        return Runtime(load_settings(self.folder / "config.toml", self.env))

    def at(self, now: datetime) -> None:
        """Set both clocks, and do whatever is due by then."""
        SandboxClient(self.sandbox_url, PATIENCE).set_clock(now)
        runtime = self.runtime()
        try:
            with runtime.engine.begin() as conn:
                stored.put(conn, now)
            do_what_is_due(runtime)
        finally:
            runtime.close()

    def reconcile(self) -> None:
        """Confirm and settle captures, and close what is ready."""
        runtime = self.runtime()
        try:
            for account in runtime.gateways.names:
                context = runtime.context.at_provider(account)
                charge_list.run(context, read_until=None)
                runs.work_on_account(context, every=timedelta(0))
            closing.run(runtime.engine, now=runtime.clock.now())
        finally:
            runtime.close()

    def subscribed(self, name: str, plan: str, card: str = "pm_card_visa") -> str:
        """Make a customer with a card and a subscription of the same external id."""
        done = self.run(
            "customers", "create", "--name", name.title(), "--external-id", name,
            "--payment-method", card,
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        subscribed = self.json(
            "subscribe", name, plan, "--currency", "USD", "--external-id", f"{name}-sub"
        )
        return str(subscribed["id"])


def do_what_is_due(runtime: Runtime) -> None:
    """Open every due cycle and make every due attempt, one by one."""
    context = runtime.context.at_one_instant()
    now, policy = context.clock.now(), context.policy
    while opening.open_due_cycles(runtime.engine, now=now, limit=100, policy=policy).seen:
        pass
    for payment_id in collecting.dispatch_due(context, limit=100):
        sending = collecting.begin(context, payment_id)
        if sending is None:
            continue
        collecting.finish(context, sending, collecting.attempt(context, sending))


def environment(**settings: str) -> Mapping[str, str]:
    """Write settings as environment variables: `database__url` is BILLING__DATABASE__URL."""
    return {f"BILLING__{key.upper()}": value for key, value in settings.items()}


DAY = timedelta(days=1)


def begun(folder: Path, sandbox_url: str, *, prepared: bool = False, **settings: str) -> World:
    """Return a world with a published catalog and the clock at the start.

    One that is `prepared` finds both in its database and at its provider.
    """
    (folder / "config.toml").write_text('mode = "sandbox"\n[plans]\ncatalog = "catalog"\n')
    (folder / "catalog").mkdir()
    (folder / "catalog" / "video.toml").write_text(CATALOG)
    env = environment(
        providers__stripe__api_base=sandbox_url,
        providers__stripe__api_key="sk_test_of_the_cli_tests",
        **settings,
    )
    world = World(folder, dict(env), sandbox_url)
    if not prepared:
        world.at(START)
        applied = world.run("plans", "apply", "--yes")
        assert applied.exit_code == 0, applied.output
    return world
