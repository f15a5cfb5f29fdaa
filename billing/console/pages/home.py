"""What needs a person: every count is the list that it counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from starlette.responses import Response

from billing.console import links, tables, words
from billing.console.requests import ConsolePage, PageRequest
from billing.console.tables import Cell, PageTable
from billing.flows.service.api_keys import Scope
from billing.queries import attention, status
from billing.queries.attention import Attention

Urgency = Literal["now", "soon"]


@dataclass(frozen=True, slots=True)
class Count:
    """One count, what it counts, why that needs somebody, and the list of it."""

    count: int
    what: str
    why: str
    href: str
    urgency: Urgency


@dataclass(frozen=True, slots=True)
class Group:
    """Counts that belong together."""

    title: str
    counts: Sequence[Count]


_GROUPS: Final[Mapping[str, Sequence[tuple[Attention, str, str, str, Urgency]]]] = {
    "Money that didn't come": (
        (Attention.NEEDS_CUSTOMER, "payments wait for their customer", "only another card helps",
         links.listed("failed", stage="waiting"), "now"),
        (Attention.ON_THE_LADDER, "payments are tried again", "each has its next try",
         links.listed("failed", stage="ladder"), "soon"),
        (Attention.GIVEN_UP, "payments given up", "their cycles are open: a retry still counts",
         links.listed("failed", stage="given-up"), "soon"),
    ),
    "What stands still": (
        (Attention.PARKED_SUBSCRIPTIONS, "subscriptions parked", "not billed until released",
         links.listed("parked", kind="subscription"), "now"),
        (Attention.PARKED_PAYMENTS, "payments parked", "the provider refused the request",
         links.listed("parked", kind="payment"), "now"),
        (Attention.UNKNOWN, "attempts without an answer", "the engine asks for each until it knows",
         links.listed("payments", unknown="yes"), "soon"),
    ),
    "What differs from the provider": (
        (Attention.BREAKS, "breaks open", "their cycles can't be closed",
         links.listed("breaks"), "now"),
    ),
    "Money under dispute, and money back": (
        (Attention.DISPUTES, "disputes and inquiries open", "banks wait for evidence for some days",
         links.listed("disputes", open="yes"), "now"),
        (Attention.REFUNDS_FAILED, "refunds failed", "the money has to go back another way",
         links.listed("refunds", state="failed"), "soon"),
    ),
}  # fmt: skip


def _home(request: PageRequest) -> Response:
    with request.connect() as conn:
        found = attention.counts(conn)
        settled = attention.settled_up_to(conn)
        fences = {each.provider: each for each in status.all_fences(conn)}
        tasks = status.all_tasks(conn)
    groups = [
        Group(title, [Count(found[kind], *told) for kind, *told in counts])  # type: ignore[arg-type]
        for title, counts in _GROUPS.items()
    ]
    accounts = PageTable(
        ("account", "state", "settled up to", "runs failed since"),
        [
            (
                Cell(each.provider),
                _standing(str(fences[each.provider].cause or "")),
                tables.plain(each.window_to),
                tables.plain(each.failed),
            )
            for each in settled
        ],
        ("runs failed since",),
        "No account was compared with the provider yet.",
    )
    return request.page(
        "home.html",
        groups=groups,
        nothing=not any(each.count for group in groups for each in group.counts),
        accounts=accounts,
        tasks=PageTable(
            ("task", "done up to", "last success", "error"),
            [
                (
                    Cell(words.plain(task.task)),
                    tables.plain(task.watermark),
                    tables.plain(task.last_success_at),
                    Cell(words.text(task.last_error), tone="danger" if task.last_error else ""),
                )
                for task in tasks
            ],
            empty="No task has run yet.",
        ),
    )


def _standing(cause: str) -> Cell:
    return Cell(f"recovering: {cause}", tone="danger") if cause else Cell("open", tone="success")


PAGES: Final = (ConsolePage("GET", "", Scope.READ, _home),)
