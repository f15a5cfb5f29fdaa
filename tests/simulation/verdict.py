"""What is compared at the end of a story: the engine's books, the provider's, and the model.

Everything that is wrong is a line of words, with the customer's number in the story.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, cast

from sqlalchemy import Connection, Row, text

from billing.flows import prove
from billing.presenters import explain as in_words
from billing.presenters.findings import in_words as finding_in_words
from billing.queries.explain import explain_subscription
from tests.delivery import agreement
from tests.delivery.provider_side import ProviderSide
from tests.simulation import model, pricing
from tests.simulation.asking import addons_of
from tests.simulation.books import not_as_asked, not_closed, not_earned, not_expired
from tests.simulation.crashes import as_finding, in_full
from tests.simulation.dunning import Debtor, declines_of
from tests.simulation.events import Event
from tests.simulation.metered import WAIT
from tests.simulation.ordering import Ordered, among, merged, ordered_rows
from tests.simulation.placing import Places
from tests.simulation.refusals import unjustified
from tests.simulation.sold import Sold, Tables, redeemed_too_often
from tests.simulation.strangers import OwnSide
from tests.simulation.wires import CLOCKS, Json, Provider

if TYPE_CHECKING:
    from tests.simulation.asking import Fact
    from tests.simulation.simulation import Simulation

PAYING: Final = frozenset(
    {"pm_card_visa", "pm_card_mastercard", "pm_card_refundFail", "pm_card_pendingRefund"}
)


def findings(simulation: "Simulation") -> list[str]:
    """Return everything that is wrong."""
    with simulation.engine.connect() as conn:
        made = _Made(simulation.provider)
        judges: Sequence[Callable[[], Iterable[str]]] = (
            lambda: _promises(simulation, _taken_beyond(conn)),
            lambda: _captured_once(simulation, made),
            lambda: _sums(simulation, conn, made),
            lambda: _breaks(conn),
            lambda: _objects(simulation, conn, made),
            lambda: _parked(conn),
            lambda: redeemed_too_often(conn),
            lambda: _as_modelled(simulation, conn, made),
            lambda: _charged_by_shops(simulation, made),
            lambda: _refunded(conn, made),
            lambda: unjustified(simulation, conn),
            lambda: not_closed(conn),
            lambda: not_earned(conn, simulation.now),
            lambda: not_expired(conn, simulation.now),
            lambda: not_as_asked(conn, simulation),
            lambda: _explained(simulation, conn),
        )
        return [finding for judge in judges for finding in judged("the end", judge, simulation)]


def judged(
    what: str, judge: Callable[[], Iterable[str]], simulation: "Simulation"
) -> Iterator[str]:
    """Yield what is wrong; a judge that can't judge finds something, too, and stops no other."""
    try:
        yield from judge()
    except Exception as error:  # noqa: BLE001  whatever it is, it is a finding
        yield as_finding(error, what)
        simulation.schedule.trace += in_full(error)


class _Made:
    """What there is at the provider at the end, read once."""

    def __init__(self, provider: Provider) -> None:
        self.side = OwnSide(provider)
        self.intents = self.side.all("payment_intents")
        self.charges = self.side.all("charges")
        self.refunds = self.side.all("refunds")


# --- books and provider -------------------------------------------------------------------------


def _promises(simulation: "Simulation", known: Collection[str]) -> Iterator[str]:
    for result in prove.prove(simulation.engine, simulation.now):
        for finding in (*result.findings, *result.differences):
            words = finding_in_words(finding)
            if not any(each in words for each in known):
                yield f"promise {result.promise}: {words}"


def _taken_beyond(conn: Connection) -> Collection[str]:
    """Return the breaks of what a cardholder's bank took though a note had given it back."""
    return [str(each) for each in conn.execute(_BEYOND).scalars()]


def _captured_once(simulation: "Simulation", made: _Made) -> Iterator[str]:
    """No payment is captured twice at the provider, under one object or several."""
    of_payment = Counter(
        each["metadata"].get("payment") for each in made.intents if each["status"] == "succeeded"
    )
    for payment, count in of_payment.items():
        if count > 1:
            yield f"payment {payment} is captured by {count} objects at the provider"
    stats = simulation.provider.control("stats", method="GET")
    if stats["payment_intents_captured_more_than_once"]:
        yield "a payment object is captured more than once"


def _sums(simulation: "Simulation", conn: Connection, made: _Made) -> Iterator[str]:
    """Captured payments, the journal and the provider hold the same money."""
    charges = [each for each in made.charges if each["paid"] and each["captured"]]
    theirs = Counter[str]()
    for charge in charges:
        theirs[charge["currency"].upper()] += charge["amount_captured"]
    ours = Counter[str]()
    for row in conn.execute(_CAPTURED):
        ours[row.currency] += int(row.amount)
    if ours != theirs:
        yield f"captured: {dict(ours)} here, {dict(theirs)} at the provider"
    booked = Counter[str]()
    for row in conn.execute(_JOURNAL):
        booked[row.currency] += int(row.amount)
    if booked != ours:
        yield f"captured: {dict(ours)} by payments, {dict(booked)} by the journal"
    balance = made.side.show("balance")
    theirs = Counter[str]()
    for each in (*balance["available"], *balance["pending"]):
        theirs[each["currency"].upper()] += each["amount"]
    held = {row.currency: int(row.amount) for row in conn.execute(_CLEARING) if row.amount}
    if held != {currency: amount for currency, amount in theirs.items() if amount}:
        yield f"the balance is {held} in the journal, {dict(theirs)} at the provider"


def _objects(simulation: "Simulation", conn: Connection, made: _Made) -> Iterator[str]:
    """Each object of the provider's is known here as it is there."""
    for line in agreement.disagreements(conn, cast(ProviderSide, made.side)):
        if not (simulation.forgets and line.endswith("never reached us")):
            yield line


_BEYOND: Final = text(
    "SELECT b.id FROM breaks b JOIN payments p ON p.id = b.payment_id"
    " WHERE b.kind = 'dispute_mismatch' AND b.resolved_at IS NULL"
    "   AND EXISTS (SELECT FROM credit_notes n WHERE n.invoice_id = p.invoice_id)"
)
_CAPTURED: Final = text(
    "SELECT currency, sum(amount_captured) AS amount FROM payments"
    " WHERE captured_at IS NOT NULL GROUP BY currency"
)
_JOURNAL: Final = text(
    "SELECT a.currency, sum(p.amount) AS amount FROM ledger.entries e"
    "  JOIN ledger.postings p ON p.entry_id = e.id JOIN ledger.accounts a ON a.id = p.account_id"
    " WHERE e.kind = 'payment_captured' AND a.code = 'psp_clearing' GROUP BY a.currency"
)
_CLEARING: Final = text(
    "SELECT a.currency, sum(p.amount) AS amount FROM ledger.postings p"
    "  JOIN ledger.accounts a ON a.id = p.account_id WHERE a.code = 'psp_clearing'"
    " GROUP BY a.currency"
)


def _breaks(conn: Connection) -> Iterator[str]:
    known = _taken_beyond(conn)
    rows = conn.execute(text("SELECT id, kind, ours, theirs FROM breaks WHERE resolved_at IS NULL"))
    for row in rows:
        if str(row.id) in known:
            continue
        yield f"break {row.kind}: {row.ours} here, {row.theirs} at the provider"


def _parked(conn: Connection) -> Iterator[str]:
    """Nothing stays parked that an operator released."""
    for row in conn.execute(_PARKED):
        yield f"{row.what} {row.id} is parked: {row.reason}"


_PARKED: Final = text(
    "SELECT 'subscription' AS what, external_id AS id, parked_reason AS reason FROM subscriptions"
    " WHERE parked_at IS NOT NULL UNION ALL"
    " SELECT 'payment', CAST(id AS text), parked_reason FROM payments WHERE parked_at IS NOT NULL"
)


def _charged_by_shops(simulation: "Simulation", made: _Made) -> Iterator[str]:
    """What a shop was told of its charges is what the provider did."""
    intents = {str(each["metadata"].get("payment")): each for each in made.intents}
    refunded = Counter[str]()
    for each in made.refunds:
        if each["status"] in ("succeeded", "pending"):
            refunded[str(each["metadata"].get("payment"))] += each["amount"]
    for fact in simulation.facts:
        told = fact.charged
        if told is None:
            continue
        intent = intents.get(told.payment)
        received = 0 if intent is None else intent["amount_received"]
        where = f"charge {fact.number} ({fact.event.then})"
        if intent is not None and intent["amount"] != told.amount:
            yield f"{where}: {told.amount} was asked for, the provider has {intent['amount']}"
        if received != (0 if told.declined else told.captured):
            yield f"{where}: {told} was told, the provider took {received}"
        if refunded[told.payment] not in (0, told.refunded):
            yield f"{where}: {told} was told, {refunded[told.payment]} was given back"


def _refunded(conn: Connection, made: _Made) -> Iterator[str]:
    """Each refund is made once, with its amount."""
    refunded = Counter(
        (str(each["metadata"].get("refund")), each["amount"]) for each in made.refunds
    )
    by_id = Counter(refund for refund, _ in refunded.elements())
    for row in conn.execute(text("SELECT id, amount, state FROM refunds")):
        if by_id[str(row.id)] != refunded[str(row.id), row.amount] or by_id[str(row.id)] > 1:
            yield f"refund {row.id} of {row.amount} was made as {refunded}"
        if row.state == "succeeded" and not by_id[str(row.id)]:
            yield f"refund {row.id} of {row.amount} was never made"


# --- the model ----------------------------------------------------------------------------------


def _as_modelled(simulation: "Simulation", conn: Connection, made: _Made) -> Iterator[str]:
    provider, tables = _Charged(made.intents, made.charges), Tables(conn)
    subscribed = [each.event for each in simulation.facts if each.event.kind == "subscribe"]
    for event in subscribed:
        others = [each for each in subscribed if each.of == event.who]

        def problems(event: Event = event, others: Sequence[Event] = others) -> Iterator[str]:
            one, *further = (
                _Customer(simulation, conn, provider, tables, each) for each in (event, *others)
            )
            yield from one.problems()
            if event.of < 0:
                yield from one.credit_problems(further)

        for problem in judged(f"customer {event.who}", problems, simulation):
            yield f"customer {event.who} ({event.plan}): {problem}"


class _Charged:
    """What the provider did, by payment."""

    def __init__(self, intents: Sequence[Json], charges: Sequence[Json]) -> None:
        payment_of = {each["id"]: str(each["metadata"].get("payment")) for each in intents}
        self.received: Counter[str] = Counter()
        self.paid_at: dict[str, datetime] = {}
        self.declines = declines_of(charges, payment_of)
        self.declined = Counter(each.payment for each in self.declines)
        self.charged = Counter(payment_of[each["payment_intent"]] for each in charges)
        for each in charges:
            payment = payment_of[each["payment_intent"]]
            if each["paid"] and each["captured"]:
                self.received[payment] += each["amount_captured"]
                self.paid_at[payment] = datetime.fromtimestamp(each["created"], UTC)


class _Customer:
    """A customer's subscription, with what the model says of it."""

    def __init__(
        self,
        simulation: "Simulation",
        conn: Connection,
        provider: _Charged,
        tables: Tables,
        subscribed: Event,
    ) -> None:
        who, self.is_first = subscribed.who, subscribed.of < 0
        self.facts = facts = [
            each
            for each in simulation.facts
            if each.event.who == who
            or (each.event.who == subscribed.customer and _is_of_all(each.event))
        ]
        order = next(each for each in facts if each.event == subscribed)
        self.now = simulation.now
        self.forgotten = bool({who, subscribed.customer} & simulation.forgotten)
        self.restored = bool(simulation.schedule.happened["database restored"])
        self.provider = provider
        cards = [
            each
            for each in simulation.facts
            if each.event.who == subscribed.customer
            and (each.event.card or each.event.kind == "detach")
        ]
        self.pays = {each.event.card for each in cards} <= PAYING
        last = max(cards, key=lambda each: each.at)
        self.pays_now = last.at if last.event.card in PAYING else None
        self.down = simulation.downtimes
        self.changes = [
            model.Change(each.at, each.event.kind)  # type: ignore[arg-type]
            for each in facts
            if each.event.kind in ("pause", "resume", "cancel", "cancel at period end")
        ]
        event = order.event
        product = simulation.products[event.plan]
        contract = model.Contract(
            product, event.currency, event.quantity, event.zone, order.at, addons_of(event, product)
        )
        self.product = contract.product
        self.row = conn.execute(_SUBSCRIPTION, {"reference": f"s{who}"}).one()
        self.cycles = list(conn.execute(_CYCLES, {"id": self.row.id}))
        self.of_changes = list(conn.execute(_OF_CHANGES, {"id": self.row.id}))
        self.finals = list(conn.execute(_FINALS, {"id": self.row.id}))
        billed = {each.n for each in self.cycles if each.price is not None}
        paused = any(each.kind == "pause" for each in self.changes)
        of_customer = [
            each for each in simulation.facts if each.event.customer == order.event.customer
        ]
        places = Places(of_customer, simulation.taxed)
        self.sold = Sold(
            simulation.seed,
            facts,
            tables,
            self.row,
            self.cycles,
            contract,
            places,
            simulation.products,
            simulation.published,
            provider.paid_at,
            pays=self.pays,
            may_wait=paused or not self.pays or self.forgotten,
        )
        self.sales = self.sold.sales()
        self.expected = model.account(
            contract, self.changes, simulation.published, self.now, self.sales, billed
        )
        self.currency = event.currency
        self.grants = [_granted(each) for each in facts if each.event.kind == "grant"]
        self.ordered = Ordered(
            simulation.seed,
            facts,
            ordered_rows(conn, self.row.customer_id),
            provider.received,
            self.pays,
            places,
        )
        self.was_canceled = conn.execute(_WAS_CANCELED, {"id": self.row.id}).scalar()
        self.left = int(conn.execute(_LEFT, {"id": self.row.customer_id}).scalar_one())

    def problems(self) -> Iterator[str]:
        yield from self._periods()
        yield from self.sold.problems(self.expected, self.sales)
        if self.is_first:
            yield from self.ordered.problems()
        for cycle in (*self.cycles, *self.of_changes, *self.finals):
            yield from self._money(cycle)
        yield from self._bought_past_due()
        yield from self._status()
        yield from self._debtor().problems()

    def _debtor(self) -> Debtor:
        cycles = [*self.cycles, *self.of_changes, *self.finals]
        payments = {str(cycle.payment_id) for cycle in cycles}
        return Debtor(
            product=self.product,
            row=self.row,
            cycles=cycles,
            declines=[each for each in self.provider.declines if each.payment in payments],
            paid_at=self.provider.paid_at,
            asked=self._asked(),
            resumed=[each.at for each in self.facts if each.event.kind == "resume"],
            down=self.down,
            pays_now=self.pays_now,
            now=self.now,
        )

    def _periods(self) -> Iterator[str]:
        expected = self.expected.periods
        for cycle, period in zip(self.cycles, expected, strict=False):
            if (cycle.n, cycle.period_start, cycle.period_end) != (
                period.n, period.start, period.end,
            ):  # fmt: skip
                yield (
                    f"period {cycle.n} is {cycle.period_start} to {cycle.period_end},"
                    f" expected {period.n}: {period.start} to {period.end}"
                )
                return
            skipped = self._may_be_skipped(cycle)
            if self.forgotten and cycle.kind == "regular" and period.kind == "paused":
                continue  # it was charged before the resumption was forgotten
            if cycle.kind != period.kind and not skipped:
                yield f"period {cycle.n} is {cycle.kind}, expected {period.kind}"
            elif not skipped and (cycle.price or 0) != period.amount:
                yield f"period {cycle.n} costs {cycle.price}, expected {period.amount}"
        if len(self.cycles) > len(expected):
            late = self.cycles[len(expected)]
            yield f"period {late.n} from {late.period_start} is {late.kind}, expected none"
        begun = self.now - (WAIT if self.row.usage_from_n is not None else timedelta())
        missing = [each for each in expected[len(self.cycles) :] if each.start < begun]
        if missing and not (
            self._ended_by_declines() or self._ended_before_it_was_opened(missing[0])
        ):
            yield f"period {missing[0].n} from {missing[0].start} is missing ({self.row.status})"

    def credit_problems(self, further: "Sequence[_Customer]") -> Iterator[str]:
        """Credit pays what it can of each invoice, in its order, and nothing of it is lost.

        `further` are other subscriptions of the customer.
        """
        if self.ordered.was_taken_back:
            return
        rows, invoices = [], []
        subscribed = self.sold.invoiced(self.expected)
        for each in further:
            subscribed = among(subscribed, each.sold.invoiced(each.expected))
        changes = [change for each in (self, *further) for change in each.sales.changes]
        for row, invoiced in merged(subscribed, self.ordered.rows):
            rows.append(row)
            invoices.append(invoiced)
        found = [model.Paid(each.credit - each.waived, each.waived, each.due) for each in rows]
        grants = [
            *self.grants,
            *self.ordered.granted(),
            *self.sold.granted(rows, changes),
        ]
        apart = 2 * CLOCKS
        if not model.may_be_paid(self.currency, invoices, grants, apart, found):
            expected = next(model.paid(self.currency, invoices, grants, apart))
            yield f"of {invoices} with {grants} credit paid {found}, expected {expected}"
            return
        if any(each.expires is not None for each in grants):
            return
        used = sum(
            paid.credit for paid, row in zip(found, rows, strict=True) if row.status != "void"
        )
        granted = sum(each.amount for each in grants)
        if self.left != granted - used:
            yield f"{self.left} of credit is left of {granted}, of which {used} was used"

    def _asked(self) -> list[datetime]:
        """Return when an attempt was asked for: by hand, or by a card that was given (again)."""
        found = [each.at for each in self.facts if each.event.kind in ("new card", "retry")]
        for each in self.facts:
            if each.event.kind in ("subscribe", "new card"):
                found += each.moments[1:]
        return found

    def _may_be_skipped(self, cycle: Row[Any]) -> bool:
        """Tell whether a period was rightly skipped: opened late, or while it was unpaid.

        After a restore, one is that wasn't charged before one that was.
        """
        if cycle.kind != "skipped":
            return False
        later = [each for each in self.cycles if each.n > cycle.n and each.payment_id is not None]
        if self.restored and any(self.provider.charged[str(each.payment_id)] for each in later):
            return True
        late = bool(cycle.opened_at >= cycle.period_end - CLOCKS)
        return late and (self.product.catch_up == "skip" or not self.pays)

    def _ended_before_it_was_opened(self, period: model.Expected) -> bool:
        """Tell whether an end leaves a period without a cycle that wasn't opened by then.

        That is the one in which it was canceled at once, because what isn't collected is voided
        then; and one which passes unbilled.
        """
        ends = self.expected.ends
        if ends is None:
            return False
        return period.kind == "paused" or period.start <= ends < period.end

    def _ended_by_declines(self) -> bool:
        """Tell whether declines may have ended it: the ladder of a payment was used up."""
        if self.pays or self.row.status not in ("canceled", "unpaid"):
            return False
        invoices = (*self.cycles, *self.of_changes, *self.finals)
        return self.row.ended_by == "ladder" or any(
            each.invoice_status == "uncollectible" for each in invoices
        )

    def _money(self, cycle: Row[Any]) -> Iterator[str]:
        if cycle.payment_id is None:
            return
        received = self.provider.received[str(cycle.payment_id)]
        if received not in (0, cycle.total):
            yield f"period {cycle.n} costs {cycle.total}, the provider took {received}"
        if bool(received) != (cycle.invoice_status == "paid"):
            yield f"period {cycle.n} is {cycle.invoice_status}, the provider took {received}"
        if cycle.kind != "final":
            yield from self._after_the_end(cycle)
            yield from self._voided(cycle)
        if received or not cycle.total:
            return
        if self.pays and not self._canceled_before(cycle):
            yield f"period {cycle.n} is {cycle.invoice_status}, and the card pays"
        elif cycle.state == "CREATED" and cycle.next_attempt_at is None:
            yield f"period {cycle.n} is not paid, and nothing follows"

    def _after_the_end(self, cycle: Row[Any]) -> Iterator[str]:
        """A period that was open when it was canceled at once is collected no more."""
        for change in self.changes:
            opened = cycle.opened_at < change.at - CLOCKS
            if change.kind == "cancel" and opened and cycle.sent_at > change.at + CLOCKS:
                yield f"period {cycle.n} is collected after {change.at}, when it was canceled"

    def _canceled_before(self, cycle: Row[Any]) -> bool:
        """Tell whether a cancellation came before the period could be paid: it was voided."""
        return cycle.invoice_status == "void" and self._canceled() is not None

    def _canceled(self) -> datetime | None:
        """Return when it was canceled at once."""
        return next((each.at for each in self.changes if each.kind == "cancel"), None)

    def _voided(self, cycle: Row[Any]) -> Iterator[str]:
        """What was open at a cancellation at once is void, and owed by nobody, unless it was paid.

        An attempt that was open then may still pay.
        """
        at = self._canceled()
        if at is None or self.restored or cycle.opened_at >= at - CLOCKS:
            return
        if cycle.resolved_at is not None and cycle.resolved_at < at + CLOCKS:
            return
        if cycle.invoice_status not in ("void", "paid") and not cycle.given_up_at:
            yield f"period {cycle.n} is {cycle.invoice_status}, and it was canceled on {at}"

    def _bought_past_due(self) -> Iterator[str]:
        """Who is past due buys nothing more at once."""
        for change in self.sales.changes:
            row = self.sold.invoice_of(change)
            if self.restored or row is None or not row.due:
                continue
            before, after = change.at - 2 * pricing.HELD_UP, change.at + 2 * pricing.HELD_UP
            for cycle in (*self.cycles, *self.of_changes):
                declined = any(
                    each.payment == str(cycle.payment_id) and each.at < before
                    for each in self.provider.declines
                )
                open_then = cycle.resolved_at is None or cycle.resolved_at > after
                given_up = cycle.given_up_at is not None and cycle.given_up_at < after
                if declined and open_then and not given_up:
                    yield f"change {change.key} of {change.at} was sold, and {cycle.n} was past due"

    def _status(self) -> Iterator[str]:
        if self.row.status != "canceled" and self.was_canceled:
            yield f"it is {self.row.status}, and was canceled on {self.was_canceled}"
        owes = any(
            cycle.invoice_status == "uncollectible"
            or (cycle.state == "CREATED" and cycle.decline_class is not None)
            for cycle in (*self.cycles, *self.of_changes, *self.finals)
        )
        if owes or self.row.ended_by == "ladder":
            return
        ends, allowed = self.expected.ends, {"active"}
        if ends is not None and ends <= self.now:
            allowed = {"canceled"}
        elif self.expected.paused:
            allowed = {"paused"}
        elif self.expected.periods and self.expected.periods[-1].kind == "trial":
            allowed = {"trialing"}
        if self.row.status not in allowed:
            yield f"it is {self.row.status}, expected {sorted(allowed)}"


def _is_of_all(event: Event) -> bool:
    """Tell whether something concerns all subscriptions of a customer."""
    return event.kind in ("new card", "retry", "note") or (event.kind == "coupon" and event.moves)


def _granted(fact: "Fact") -> model.Granted:
    event = fact.event
    asked = fact.moments[-1] if fact.moments else fact.at
    expires = asked + timedelta(days=event.days) if event.days else None
    return model.Granted(asked, event.amount, event.priority, expires)


_LEFT: Final = text(
    "SELECT coalesce(sum(CASE WHEN m.kind IN ('granted', 'returned') THEN m.amount"
    "                         ELSE -m.amount END), 0)"
    "  FROM credit_moves m JOIN credit_grants g ON g.id = m.grant_id"
    " WHERE g.customer_id = :id AND g.source IN ('goodwill', 'credit_note', 'bought')"
)
_WAS_CANCELED: Final = text(
    "SELECT min(at) FROM subscription_events WHERE subscription_id = :id AND kind = 'canceled'"
)
_SUBSCRIPTION: Final = text("SELECT * FROM subscriptions WHERE external_id = :reference")
_BILLED: Final = (
    "c.period_start, c.period_end, i.due AS total, i.status AS invoice_status, i.resolved_at,"
    "       i.total AS price, (SELECT coalesce(sum(n.total), 0) FROM credit_notes n"
    "                           WHERE n.invoice_id = i.id) AS given_back,"
    "       p.id AS payment_id, p.state, p.decline_class, p.next_attempt_at,"
    "       EXISTS (SELECT FROM disputes d"
    "                WHERE d.payment_id = p.id AND d.state = 'lost') AS was_lost,"
    "       (SELECT min(t.at) FROM payment_transitions t WHERE t.payment_id = p.id"
    "           AND t.cause = 'ladder_over') AS given_up_at"
)
_SENT: Final = (
    "(SELECT max(k.first_sent_at) FROM provider_calls k"
    "         WHERE k.subject_id = p.id AND k.kind = 'charge')"
)
_CYCLES: Final = text(
    f"SELECT c.n, c.kind, c.opened_at, coalesce({_SENT}, c.opened_at) AS sent_at, {_BILLED}"
    "  FROM cycles c LEFT JOIN invoices i ON i.cycle_id = c.id"
    "  LEFT JOIN payments p ON p.invoice_id = i.id"
    " WHERE c.subscription_id = :id ORDER BY c.n"
)
_OF_CHANGES: Final = text(
    "SELECT c.n, 'change' AS kind, i.issued_at AS opened_at,"
    f"       coalesce({_SENT}, i.issued_at) AS sent_at, {_BILLED}"
    "  FROM invoices i JOIN subscription_changes s ON s.change_id = i.change_id"
    "  JOIN cycles c ON c.subscription_id = i.subscription_id"
    "       AND s.holds_from >= c.period_start AND s.holds_from < c.period_end"
    "  LEFT JOIN payments p ON p.invoice_id = i.id"
    " WHERE i.subscription_id = :id AND i.kind = 'change' ORDER BY i.issued_at"
)
_FINALS: Final = text(
    "SELECT c.n, 'final' AS kind, i.issued_at AS opened_at,"
    f"       coalesce({_SENT}, i.issued_at) AS sent_at, {_BILLED}"
    "  FROM invoices i JOIN LATERAL (SELECT * FROM cycles c"
    "                    WHERE c.subscription_id = i.subscription_id"
    "                    ORDER BY c.n DESC LIMIT 1) c ON true"
    "  LEFT JOIN payments p ON p.invoice_id = i.id"
    " WHERE i.subscription_id = :id AND i.kind = 'final' ORDER BY i.issued_at"
)


# --- words --------------------------------------------------------------------------------------


def _explained(simulation: "Simulation", conn: Connection) -> Iterator[str]:
    """Every subscription can be explained."""
    for reference in conn.execute(text("SELECT external_id FROM subscriptions")).scalars():
        try:
            explained = explain_subscription(conn, str(reference), simulation.now)
            sections = in_words.sections(explained)
        except Exception as error:  # noqa: BLE001  whatever it is, it is a finding
            yield f"{reference} can't be explained: {error!r}"
            continue
        if not all(section.sentences for section in sections):
            yield f"{reference} has an explanation without words"
