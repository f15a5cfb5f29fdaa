"""`billing providers`: the accounts at payment providers, and whether they answer."""

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from billing.cli.checking import CHECKS, exit_code, looked
from billing.cli.output import Output, output_option
from billing.cli.session import Session

if TYPE_CHECKING:
    from billing.config import Settings

_COLUMNS: Final = ("provider", "kind", "default", "server", "webhooks", "keys_hold")


@click.group()
def providers() -> None:
    """Accounts at payment providers."""


@providers.command("list")
@output_option
@click.pass_obj
def list_(session: Session, output: Output) -> None:
    """List the accounts of the configuration, and what their providers can do."""
    settings = session.settings
    output.records([_record(settings, name) for name in settings.providers], _COLUMNS)


@providers.command("check")
@click.argument("names", metavar="[PROVIDER]...", nargs=-1)
@output_option
@click.pass_obj
def check(session: Session, names: tuple[str, ...], output: Output) -> int:
    """Ask accounts, or all of them, whether they answer with our key.

    Charges nothing. Ends with 4 if one doesn't answer, with 3 if one refuses.
    """
    gateways = session.runtime.gateways
    named = [gateways.named(name) for name in names] or gateways.names
    found = [looked(name, partial(answers, session, name)) for name in named]
    output.records([asdict(each) for each in found], CHECKS)
    return exit_code(found)


def answers(session: Session, name: str) -> str:
    """Return that an account answers, in words. Raises `Unavailable`, `BadInput`."""
    session.runtime.gateways.of(name).check()
    embedded = session.settings.in_embedded_sandbox(name)
    return "the embedded sandbox answers" if embedded else "answers with our key"


def _record(settings: "Settings", name: str) -> dict[str, Any]:
    from billing.config import format_duration
    from billing.gateway.registry import KINDS

    account = settings.providers[name]
    can = KINDS[account.kind].capabilities
    own = "embedded sandbox" if settings.in_embedded_sandbox(name) else "the provider's own"
    return {
        "provider": name,
        "kind": account.kind,
        "default": name == settings.default_provider,
        "server": account.api_base or own,
        "webhooks": bool(settings.webhook_secrets(name)),
        "keys_hold": format_duration(can.key_max_age),
        "replay": str(can.replay),
        "lists_events": can.lists_events,
        "lists_movements": can.lists_movements,
        "lists_balance": can.lists_balance,
        "holds_payment": can.holds_payment,
    }
