"""`billing ledger`: the journal, looked over, summed up and read."""

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from billing.cli.failures import FINDINGS, OK
from billing.cli.options import Word, more_hint
from billing.cli.output import Output, output_option, talk
from billing.cli.progress import progress
from billing.cli.references import find
from billing.cli.remedies import LEDGER_REMEDIES
from billing.cli.session import Session
from billing.errors import BadInput
from billing.ledger.accounts import AccountCode

if TYPE_CHECKING:
    from billing.ledger.findings import LedgerFinding
    from billing.queries.books import StatementLine

_FINDINGS = ("check", "severity", "subject", "what", "remedy")
_BALANCES = ("code", "currency", "debit", "credit", "balance")
_LINES = ("cursor", "effective_at", "kind", "amount", "customer_id", "source_key")


@click.group()
def ledger() -> None:
    """The double-entry journal."""


@ledger.command("verify")
@output_option
@click.pass_obj
def verify(session: Session, output: Output) -> int:
    """Look the whole ledger over. Ends with 3 if something is wrong.

    Information, such as money on its way through a clearing account, is no fault.
    """
    from billing.ledger.findings import Severity

    findings = sorted(_verify(session), key=lambda found: found.severity is not Severity.ERROR)
    errors = [found for found in findings if found.severity is Severity.ERROR]
    output.records([_record(found) for found in findings], _FINDINGS)
    if errors:
        talk(f"{len(errors)} finding(s): docs/ledger.md says what each check means")
        return FINDINGS
    talk("the ledger holds: every entry balances, nothing was changed, receivables agree")
    return OK


def _record(found: "LedgerFinding") -> dict[str, Any]:
    from billing.presenters import ledger_findings

    return {
        "check": found.check,
        "severity": found.severity,
        "subject": ledger_findings.subject(found),
        "what": ledger_findings.what(found),
        "remedy": LEDGER_REMEDIES[found.check],
    }


def _verify(session: Session) -> "list[LedgerFinding]":
    from billing.queries.books import CHECKS

    found: list[LedgerFinding] = []
    with (
        session.engine_for_long_reads() as engine,
        engine.connect() as conn,
        progress("verifying", len(CHECKS)) as bar,
    ):
        for number, check in enumerate(CHECKS):
            bar(number, f"verifying: {check.name}")
            found += check.run(conn)
    return found


@ledger.command("trial-balance")
@output_option
@click.pass_obj
def trial_balance(session: Session, output: Output) -> None:
    """Show debits, credits and balance of every account; each currency adds up to zero."""
    from billing.queries import books

    with session.engine_for_long_reads() as engine, engine.connect() as conn:
        rows = books.trial_balance(conn)
    output.records([asdict(row) for row in rows], _BALANCES)
    sums: dict[str, int] = {}
    for row in rows:
        sums[row.currency] = sums.get(row.currency, 0) + row.balance
    for currency, total in sorted(sums.items()):
        talk(f"{currency}: the balances add up to {total}")


@ledger.command("account")
@click.argument("code", type=Word(AccountCode))
@click.option("--currency", metavar="CODE", help="Only this currency.")
@click.option("--customer", metavar="ID", help="Only this customer's account.")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True,
    help="How many lines at most.",
)  # fmt: skip
@click.option("--after", metavar="CURSOR", help="Go on after the line with this cursor.")
@output_option
@click.pass_obj
def account(
    session: Session,
    code: str,
    currency: str | None,
    customer: str | None,
    limit: int,
    after: str | None,
    output: Output,
) -> None:
    """Show an account's postings, newest first.

    CODE is an account of the chart in docs/ledger.md, like receivable or psp_clearing.
    """
    from billing.queries import books

    before = _cursor(after) if after is not None else None
    with session.connect() as conn:
        owner = find(conn, "customer", customer) if customer else None
        lines = books.account_statement(
            conn,
            AccountCode(code),
            currency.upper() if currency else None,
            owner,
            limit=limit + 1,
            before=before,
        )
    records = [_line(line) for line in lines[:limit]]
    output.records(records, _LINES)
    if records:
        more_hint(len(lines), limit, records[-1]["cursor"])


def _line(line: "StatementLine") -> dict[str, Any]:
    owner: UUID | None = line.account.owner_id
    return {
        "cursor": f"{line.entry_id}:{line.line}",
        "entry_id": line.entry_id,
        "line": line.line,
        "effective_at": line.effective_at,
        "kind": line.kind,
        "account": str(line.account.code),
        "customer_id": owner,
        "amount": line.money.amount,
        "currency": line.money.currency,
        "source_key": line.source_key,
        "cycle_id": line.cycle_id,
    }


def _cursor(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,18}):([0-9]{1,5})", text)
    if match is None:
        raise BadInput(
            f"{text!r} is no cursor", where="--after", remedy="copy it from the first column"
        )
    return int(match[1]), int(match[2])
