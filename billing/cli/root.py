"""`billing`: global options, every command, and how a run ends."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from billing.cli.failures import EXIT_CODES, tell
from billing.cli.guard import refuse_broken_text, refuse_in_arguments
from billing.cli.loading import Commands
from billing.cli.session import Session

COMMANDS: Final[Mapping[str, str]] = {
    "api": "processes.api",
    "audit": "audit.audit",
    "breaks": "breaks.breaks",
    "charges": "charges.charges",
    "clock": "clock.clock",
    "close": "close.close",
    "completion": "completion.completion",
    "config": "database.config",
    "console": "processes.console",
    "credit": "credit.credit",
    "credit-notes": "credit_notes.credit_notes",
    "coupons": "coupons.coupons",
    "customers": "customers.customers",
    "db": "database.database",
    "demo": "processes.demo",
    "disputes": "disputes.disputes",
    "doctor": "doctor.doctor",
    "explain": "explain.explain",
    "fx": "fx.fx",
    "init": "init.init",
    "invoices": "invoices.invoices",
    "keys": "keys.keys",
    "ledger": "ledger.ledger",
    "parked": "parked.parked",
    "plans": "plans.plans",
    "prove": "prove.prove",
    "providers": "providers.providers",
    "reconcile": "reconcile.reconcile",
    "reconciler": "processes.reconciler",
    "recover": "recover.recover",
    "refunds": "refunds.refunds",
    "scheduler": "processes.scheduler",
    "status": "status.status",
    "subscribe": "subscriptions.create",
    "subscriptions": "subscriptions.subscriptions",
    "taxes": "taxes.taxes",
    "temporal": "temporal.temporal",
    "up": "processes.up",
    "usage": "usage.usage",
    "webhooks": "webhooks.webhooks",
    "worker": "processes.worker",
}
"""Where each command is: a module of `billing.cli.commands`, and a variable in it."""


class Root(click.Group):
    """The command `billing`. A run ends in `tell` for every error, and never in a traceback."""

    def main(self, *given: Any, **extra: Any) -> NoReturn:
        """Run the arguments and exit with the code they lead to."""
        args = given[0] if given else extra.pop("args", None)
        args = list(sys.argv[1:] if args is None else args)
        try:
            refuse_in_arguments(args)
            refuse_broken_text(args)
            code = super().main(args, **{**extra, "standalone_mode": False})
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  the last place there is
            code = tell(error, debug=_wants_traceback(args))
        sys.exit(code if isinstance(code, int) else 0)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the exit codes under the commands."""
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in EXIT_CODES])


def _wants_traceback(args: Sequence[str]) -> bool:
    """Say whether --debug was typed among the global options; parsing may be what failed."""
    return "--debug" in args


def _version(ctx: click.Context, _param: click.Parameter, asked: bool) -> None:
    if not asked or ctx.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version("perennial-billing")
    except PackageNotFoundError:  # run from a folder, not installed
        found = "not installed"
    click.echo(f"billing {found}")
    ctx.exit()


@click.group(
    cls=Root,
    commands=Commands("billing.cli.commands", COMMANDS),
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Configuration to read instead of config.toml.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_version,
    help="Show the version and exit.",
)
@click.pass_context
def root(ctx: click.Context, config: Path | None, debug: bool) -> None:
    """Subscription billing that can prove it charged everyone once.

    Data goes to stdout (-o table, json or jsonl), talk to stderr. `billing COMMAND --help` tells
    more about each command, docs/cli.md has an example of every one.
    """
    ctx.obj = Session(config, debug)
    ctx.call_on_close(ctx.obj.close)
