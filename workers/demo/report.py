"""What the demo shows: a live table while it runs, a report at the end, the same as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import IO, Any

from rich.console import Console
from rich.table import Table

from billing.flows.prove import PromiseResult
from billing.presenters.findings import in_words
from billing.queries.totals import Totals
from billing.rules.money import Money
from billing.workers.demo.accounts import AccountFigures
from billing.workers.demo.checks import BREAKS_GAUGE, MoneyFigures, WebhookFigures
from billing.workers.demo.sales_checks import SalesFigures
from billing.workers.demo.usage_checks import UsageFigures


@dataclass
class Progress:
    """Where the demo stands, written by the one who runs it and read by the display."""

    now: datetime | None = None
    doing: str = "starting"
    totals: Totals | None = None
    due: int = 0
    faults: int = 0
    given_back: str = "0, 0"

    def table(self) -> Table:
        """Return the live table."""
        table = Table(title="Perennial demo", title_justify="left", show_header=False)
        table.add_column(justify="right", style="bold")
        table.add_column()
        table.add_row("now", f"{self.now:%Y-%m-%d}  {self.doing}" if self.now else self.doing)
        for name, value in self._figures():
            table.add_row(name, value)
        return table

    def line(self) -> str:
        """Return the same in one line, for a terminal that can't redraw."""
        figures = ", ".join(f"{name} {value}" for name, value in self._figures())
        return f"{self.now:%Y-%m-%d}: {figures}" if self.now else self.doing

    def _figures(self) -> list[tuple[str, str]]:
        if self.totals is None:
            return []
        sums = self.totals
        return [
            ("due", str(self.due)),
            ("charged", str(sums.captured_payments)),
            ("declined", str(sums.declines)),
            ("recovered", str(sums.recovered_by_dunning)),
            ("closed", f"{sums.cycles_closed} of {sums.cycles_opened} cycles"),
            ("ledger sum", str(sums.ledger_imbalance)),
            ("refunds, disputes", self.given_back),
            ("faults", str(self.faults)),
        ]


@dataclass(frozen=True)
class Report:
    """The end of a demo.

    `provider_captures` and `captured_by_currency` are all that the provider captured; what it
    captured without the engine (`money.taken`) is counted apart, from what the demo did and
    not from what the engine recorded.
    """

    totals: Totals
    subscriptions: int
    provider_captures: int
    provider_captured_twice: int
    missed_periods: int
    faults_by_kind: Mapping[str, int]
    promises: Sequence[PromiseResult]
    unclosed_but_ready: int
    seconds: float
    months: int
    seed: int
    captured_by_currency: Mapping[str, int] = field(default_factory=dict)
    money: MoneyFigures = field(default_factory=MoneyFigures)
    sales: SalesFigures = field(default_factory=SalesFigures)
    usage: UsageFigures = field(default_factory=UsageFigures)

    @property
    def captures_for_us(self) -> int:
        """Captures at the provider but for those that no engine asked for."""
        return self.provider_captures - self.money.taken_captures

    @property
    def captured_for_us(self) -> dict[str, int]:
        """What these captures came to, by currency in minor units."""
        taken = self.money.taken
        return {code: sum_ - taken.get(code, 0) for code, sum_ in self.captured_by_currency.items()}

    @property
    def findings(self) -> list[str]:
        """What `prove` found, and what disagrees with what the demo did."""
        proved = [in_words(found) for promise in self.promises for found in promise.findings]
        return proved + self.disagreements

    @property
    def disagreements(self) -> list[str]:
        """What disagrees with what the demo did with money, sales and usage."""
        money = self.money.findings(self.totals.captured_payments)
        return money + self.sales.findings(self.captured_for_us) + self.usage.findings()

    @property
    def double_charges(self) -> int:
        """PaymentIntents or payments with more than one capture, and unbooked captures."""
        return max(
            self.provider_captured_twice,
            self.totals.doubly_captured_invoices,
            self.captures_for_us - self.totals.captured_payments,
        )

    @property
    def holds(self) -> bool:
        """Tell whether everything adds up."""
        sums = self.totals
        return (
            self.captures_for_us == sums.captured_payments == sums.captured_in_journal
            and self.double_charges == 0
            and self.missed_periods == 0
            and sums.ledger_imbalance == 0
            and self.unclosed_but_ready == 0
            and not self.findings
        )

    def to_json(self) -> dict[str, Any]:
        """Return the report as one object; amounts are minor units."""
        sums = self.totals
        return {
            "subscriptions": self.subscriptions,
            "months": self.months,
            "seed": self.seed,
            "cycles_opened": sums.cycles_opened,
            "cycles_closed": sums.cycles_closed,
            "provider_captures": self.captures_for_us,
            "provider_captures_unknown": self.money.taken_captures,
            "captured_payments": sums.captured_payments,
            "journal_captures": sums.captured_in_journal,
            "captured_minor_units": self.captured_for_us,
            "attempts": sums.attempts,
            "paid_by_method": sums.paid_by_method,
            "declines_by_code": sums.declines_by_code,
            "recovered_by_dunning": sums.recovered_by_dunning,
            "failed_payments": sums.failed_payments,
            "double_charges": self.double_charges,
            "missed_periods": self.missed_periods,
            "ledger_imbalance": sums.ledger_imbalance,
            "breaks_open": sums.open_breaks,
            **_money_to_json(self.money),
            **_sales_to_json(self.sales),
            **_usage_to_json(self.usage),
            "faults_injected": sum(self.faults_by_kind.values()),
            "faults_by_kind": dict(self.faults_by_kind),
            "findings": self.findings,
            "holds": self.holds,
            "seconds": round(self.seconds, 1),
        }


def _money_to_json(money: MoneyFigures) -> dict[str, Any]:
    webhooks = money.webhooks
    return {
        "breaks_by_kind": money.breaks_by_kind,
        "breaks_left_open_on_purpose": [str(found) for found in money.intended_breaks],
        "settled_payments": money.settled_payments,
        "forced_corrections": money.forced_corrections,
        "refunds": money.refunds_by_state.get("succeeded", 0),
        "refunds_by_state": dict(money.refunds_by_state),
        "disputes": sum(money.disputes_by_state.values()),
        "disputes_by_state": dict(money.disputes_by_state),
        "fx_events": money.fx_events,
        "balance_unexplained": money.unexplained,
        "captures_by_provider": {each.account: each.captures for each in money.accounts},
        "paid_out": {
            each.account: {code.lower(): n for code, n in each.paid_out.items()}
            for each in money.accounts
        },
        "webhooks_delivered": webhooks.delivered,
        "webhooks_lost": webhooks.lost,
        "webhooks_repeated": webhooks.repeated,
        "webhooks_held_back": webhooks.held_back,
        "webhooks_swept": webhooks.swept,
    }


def _sales_to_json(sales: SalesFigures) -> dict[str, Any]:
    return {
        "subscriptions_with_items": sales.with_items,
        "addons": sales.with_addons,
        "charged_once": sales.charged_once,
        "free_periods": sales.free_periods,
        "coupons_redeemed": sales.redeemed,
        "invoices_discounted": sales.invoices_discounted,
        "credit_granted": {each.currency.lower(): each.granted for each in sales.credit},
        "credit_used": {each.currency.lower(): each.used for each in sales.credit},
        "credit_expired": {each.currency.lower(): each.expired for each in sales.credit},
        "credit_left": {each.currency.lower(): each.left for each in sales.credit},
        "taxes": [asdict(each) for each in sales.taxes],
        "changes": sum(sales.changes_by_time.values()),
        "changes_by_time": dict(sales.changes_by_time),
        "orders": sum(sales.ordered.values()),
        "orders_by_kind": dict(sales.ordered),
        "credit_notes": sum(sales.notes_by_destination.values()),
        "credit_notes_by_destination": dict(sales.notes_by_destination),
    }


def _usage_to_json(usage: UsageFigures) -> dict[str, Any]:
    return {
        "usage_sent": usage.sent,
        "usage_rows": usage.rows,
        "usage_counted": usage.counted_once,
        "usage_repeated": usage.repeated,
        "usage_refused": usage.refused,
        "usage_late": usage.late,
        "usage_billed": dict(usage.billed_by_meter),
        "usage_amount": {code.lower(): amount for code, amount in usage.amounts.items()},
    }


def print_json(report: Report, stream: IO[str]) -> None:
    """Write the report as one JSON object."""
    stream.write(json.dumps(report.to_json(), indent=2) + "\n")
    stream.flush()


def print_report(report: Report, console: Console) -> None:
    """Write the report for people."""
    sums, money, sales = report.totals, report.money, report.sales
    rows = [
        ("subscriptions", f"{report.subscriptions} over {report.months} months"),
        ("cycles", f"{sums.cycles_opened} opened, {sums.cycles_closed} closed"),
        ("captures at the provider", _captures(report)),
        ("captured payments, in journal", f"{sums.captured_payments}, {sums.captured_in_journal}"),
        ("double charges", str(report.double_charges)),
        ("missed periods", str(report.missed_periods)),
        ("ledger imbalance", str(sums.ledger_imbalance)),
        ("items", _items(sales)),
        ("coupons", f"{sales.redeemed} redeemed, off {sales.invoices_discounted} invoices"),
        ("credit", "; ".join(map(str, sales.credit)) or "none"),
        ("taxes", _taxes(sales)),
        ("changes of subscriptions", _by_kind(sales.changes_by_time)),
        ("one-off invoices, credit bought", _by_kind(sales.ordered)),
        ("credit notes", _by_kind(sales.notes_by_destination)),
        ("usage", _usage(report.usage)),
        ("settled payments", f"{money.settled_payments}, {money.fx_events} exchanges of currency"),
        ("forced corrections", str(money.forced_corrections)),
        ("refunds", _by_kind(money.refunds_by_state)),
        ("disputes", _by_kind(money.disputes_by_state)),
        ("webhooks", _webhooks(money.webhooks)),
        *((f"balance at {each.account}", _balance(each)) for each in money.accounts),
        ("open breaks", _by_kind(money.breaks_by_kind)),
        ("attempts, declines", f"{sums.attempts}, {sums.declines}"),
        ("paid by", _by_kind(sums.paid_by_method)),
        ("recovered by dunning", str(sums.recovered_by_dunning)),
        ("given up and written off", str(sums.failed_payments)),
        ("faults injected", _by_kind(report.faults_by_kind)),
        ("declines by code", _by_kind(sums.declines_by_code)),
        ("seconds", f"{report.seconds:.1f}"),
    ]
    table = Table(title="What happened", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for name, value in rows:
        table.add_row(name, value)
    console.print(table)
    for intended in money.intended_breaks:
        console.print(f"left open on purpose, with an alert on {BREAKS_GAUGE}: {intended}")
    for finding in report.disagreements:
        console.print(finding)
    for promise in report.promises:
        verdict = "holds" if not promise.findings else f"{len(promise.findings)} FINDINGS"
        checked = ", ".join(f"{count} {what}" for what, count in promise.checked.items())
        console.print(f"promise {promise.promise}: {verdict}  {promise.title} ({checked})")
        for found in promise.findings[:20]:
            console.print(f"  {in_words(found)}")
    if report.unclosed_but_ready:
        console.print(f"{report.unclosed_but_ready} cycles were ready and did not close")
    console.print("everything adds up" if report.holds else "SOMETHING DOES NOT ADD UP")


def _captures(report: Report) -> str:
    unknown = report.money.taken_captures
    each = ", ".join(f"{one.account} {one.captures}" for one in report.money.accounts)
    return f"{report.captures_for_us}: {each}" + (
        f"; and {unknown} that nobody here knows" * bool(unknown)
    )


def _taxes(sales: SalesFigures) -> str:
    told = [str(each) for each in sales.taxes if each.treatment != "exempt"]
    return "; ".join(told) or "none"


def _usage(usage: UsageFigures) -> str:
    billed = ", ".join(f"{n} {meter}" for meter, n in usage.billed_by_meter.items()) or "nothing"
    amounts = ", ".join(str(Money(amount, code)) for code, amount in usage.amounts.items())
    return (
        f"{usage.sent} events sent, {usage.counted_once} counted once, {usage.repeated} repeated,"
        f" {usage.late} late; {billed} billed" + f" for {amounts}" * bool(amounts)
    )


def _items(sales: SalesFigures) -> str:
    return (
        f"{sales.with_items} subscriptions, {sales.with_addons} add-ons;"
        f" {sales.charged_once} charged once; {sales.free_periods} free periods"
    )


def _webhooks(webhooks: WebhookFigures) -> str:
    return (
        f"{webhooks.delivered} delivered, {webhooks.repeated} of them twice,"
        f" {webhooks.held_back} late; {webhooks.lost} lost, {webhooks.swept} swept up"
    )


def _balance(each: AccountFigures) -> str:
    off = [str(Money(amount, code)) for code, amount in each.unexplained.items()]
    paid = [str(Money(amount, code)) for code, amount in each.paid_out.items()]
    words = f"{', '.join(off)} UNEXPLAINED" if off else "explained"
    return f"{words}; paid out {', '.join(paid)}" if paid else words


def _by_kind(counts: Mapping[str, int]) -> str:
    if not counts:
        return "none"
    return f"{sum(counts.values())}: " + ", ".join(f"{kind} {n}" for kind, n in counts.items())
