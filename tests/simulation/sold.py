"""What was sold beside periods, compared: coupons, changes of what is held, and credit notes.

Each row has to come of something that was asked for, and each thing that was carried out has its
row; what they come to is the model's. Where several outcomes are right, the one that is found
tells which of them the model follows.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, text

from billing.ids import derived_id
from tests.simulation import model, pricing
from tests.simulation.amounts import Line
from tests.simulation.catalog import COUPONS, Price, Product
from tests.simulation.events import LATER
from tests.simulation.ordering import ENTRY
from tests.simulation.placing import Places
from tests.simulation.pricing import Found, ItemChange, OfChange, Published, Redeemed
from tests.simulation.selling import OrderedChange, OrderedNote, OrderedWithdrawal, id_of
from tests.simulation.using import LAST, UsageOf, UsageTables, final_key
from tests.simulation.wires import CLOCKS

if TYPE_CHECKING:
    from tests.simulation.asking import Fact

APART: Final = 2 * CLOCKS
NOTES_OF_A_CHANGE: Final = 12  # more than a period has invoices that a change takes from


class Tables:
    """The rows of a story that this file compares, read once."""

    def __init__(self, conn: Connection) -> None:
        self.invoices = _grouped(conn, _INVOICES)
        self.changes = _grouped(conn, _CHANGES)
        self.redemptions = _grouped(conn, _REDEMPTIONS)
        self.notes = _grouped(conn, _NOTES)
        self.given = _grouped(conn, _GIVEN)
        self.usage = UsageTables(conn)
        self.used = {(row.redemption_id, row.invoice_id) for row in conn.execute(_USED)}
        self.sharing = frozenset(conn.execute(_SHARING).scalars())
        self.lines: dict[UUID, list[Line]] = defaultdict(list)
        for row in conn.execute(_LINES):
            line = Line(row.item, row.gross, row.discount, tax=row.tax, included=row.tax_included)
            self.lines[row.invoice_id].append(line)
        self.note_lines: dict[UUID, list[Row[Any]]] = defaultdict(list)
        for row in conn.execute(_NOTE_LINES):
            self.note_lines[row.note_id].append(row)


def _grouped(conn: Connection, query: Any) -> Mapping[UUID, Sequence[Row[Any]]]:
    found: dict[UUID, list[Row[Any]]] = defaultdict(list)
    for row in conn.execute(query):
        found[row.owner].append(row)
    return found


def redeemed_too_often(conn: Connection) -> Iterator[str]:
    """Yield the coupons that were redeemed more often than they can be."""
    times = Counter(row.coupon for row in conn.execute(_REDEMPTIONS))
    for code, count in times.items():
        limit = COUPONS[code].limit
        if limit is not None and count > limit:
            yield f"coupon {code} was redeemed {count} times, at most {limit} are allowed"
    for row in conn.execute(_USES):
        coupon = COUPONS[row.coupon]
        most = coupon.lasts[0] if pricing.unit_counts(coupon) and not coupon.keeps_rest else None
        if most is not None and row.invoices > most:
            yield f"coupon {row.coupon} took something off {row.invoices} invoices, not {most}"
        if coupon.keeps_rest and row.amount > coupon.amounts[row.currency]:
            yield f"coupon {row.coupon} took off {row.amount} {row.currency}"


@dataclass(frozen=True)
class Sold:
    """What was sold to a customer: what was asked for, and the rows that came of it.

    `row` is the subscription, with its `cycles`. `paid_at` tells when a payment was captured. Who
    `pays` never owed anything; a change at once `may_wait` for the period's end where somebody
    paused or owed.
    """

    seed: object
    facts: Sequence["Fact"]
    tables: Tables
    row: Row[Any]
    cycles: Sequence[Row[Any]]
    contract: model.Contract
    places: Places
    products: Mapping[str, Product]
    prices: Published
    paid_at: Mapping[str, datetime]
    pays: bool
    may_wait: bool

    @property
    def subscription(self) -> UUID:
        found: UUID = self.row.id
        return found

    @property
    def customer(self) -> UUID:
        found: UUID = self.row.customer_id
        return found

    # --- what the model is told -----------------------------------------------------------------

    def sales(self) -> model.Sales:
        """Return what was carried out, as the model takes it."""
        return model.Sales(
            [
                self._change(fact, row)
                for fact, row in self._changes()
                if row.change_id not in self._withdrawn()
            ],
            [
                Redeemed(row.id, row.at, COUPONS[row.coupon], self._is_shared(row))
                for row in self._redemptions()
            ],
            Found(self._levied, self._total, self._used, self._void, self._stands, self._left),
            APART,
            self.usage().usage(),
            self.row.canceled_at,
            {each.n for each in self.cycles if each.kind == "skipped"},
            {each.n for each in self.cycles},
        )

    def usage(self) -> UsageOf:
        """Return what was sent of usage, and what came of it."""
        return UsageOf(
            self.facts,
            self.tables.usage,
            self.row,
            self.contract.currency,
            self.contract.zone,
            self.cycles,
            {each.id: each for each in self.tables.invoices.get(self.subscription, ())},
            bool(self._redemptions()),
        )

    def _changes(self) -> list[tuple["Fact", Row[Any]]]:
        """Return the changes that were made, in the order of their rows."""
        asked = {id_of(self.seed, "change", each.number): each for each in self._of("change")}
        rows = self.tables.changes.get(self.subscription, ())
        return [(asked[row.change_id], row) for row in rows if row.change_id in asked]

    def _withdrawn(self) -> set[UUID]:
        """Return the changes that were taken back."""
        ordered = [each.ordered for each in self._of("withdraw")]
        return {each.change for each in ordered if isinstance(each, OrderedWithdrawal)}

    def _of(self, kind: str) -> list["Fact"]:
        return [each for each in self.facts if each.event.kind == kind]

    def _change(self, fact: "Fact", row: Row[Any]) -> ItemChange:
        ordered = fact.ordered
        assert isinstance(ordered, OrderedChange), fact
        product = price = None
        if ordered.plan:
            product = self.products[ordered.plan]
            price = self._price(product, row)
        return ItemChange(
            fact.number,
            row.holds_from if row.applies == "now" else row.asked_at,
            row.holds_from,
            row.applies == "now",
            product,
            price,
            ordered.items,
        )

    def _price(self, product: Product, row: Row[Any]) -> Price:
        """Return the price of a plan that was ordered; one published just then may be meant."""
        day = row.holds_from.astimezone(ZoneInfo(self.contract.zone)).date()
        before, after = (
            pricing.on_sale(product, self.prices, row.asked_at + apart, day)
            for apart in (timedelta(), timedelta.resolution)
        )
        meant = row.detail.get("version") == after.effective.isoformat()
        return after if meant else before

    def _redemptions(self) -> Sequence[Row[Any]]:
        return [
            row
            for row in self.tables.redemptions.get(self.customer, ())
            if row.subscription_id in (None, self.subscription)
        ]

    def _is_shared(self, row: Row[Any]) -> bool:
        return row.subscription_id is None and self.customer in self.tables.sharing

    def _used(self, key: object, invoice: object) -> bool:
        row = self._invoice(invoice)
        return row is not None and (key, row.id) in self.tables.used

    def _levied(self, key: object) -> Sequence[Fraction]:
        row = self._invoice(key)
        return [] if row is None else self.places.percents(row.issued_at, self.contract.zone)

    def _total(self, key: object) -> int | None:
        row = self._invoice(key)
        return None if row is None else row.total

    def _void(self, key: object) -> bool:
        row = self._invoice(key)
        return row is not None and row.status == "void"

    def _invoice(self, key: object) -> Row[Any] | None:
        """Return the invoice of a period, by its number, of a change, or of nothing but usage."""
        if isinstance(key, tuple) and key[0] != "change":
            return self._finals().get(key)
        wanted: object = key
        if isinstance(key, tuple):
            wanted = id_of(self.seed, "change", key[1])
        for row in self.tables.invoices.get(self.subscription, ()):
            if row.kind != "final" and wanted in (
                row.change_id, row.n if row.change_id is None else None,
            ):  # fmt: skip
                return row
        return None

    def _finals(self) -> dict[tuple[str, int], Row[Any]]:
        """Return the invoices of nothing but usage, as the model calls them."""
        rows = [
            each for each in self.tables.invoices.get(self.subscription, ()) if each.kind == "final"
        ]
        found: dict[tuple[str, int], Row[Any]] = {}
        last = 0
        for row in sorted(rows, key=lambda each: (each.issued_at, each.entry or 0)):
            key = final_key(row, self.cycles)
            found[key or ("last", last)] = row
            last += key is None
        return found

    def invoice_of(self, change: ItemChange) -> Row[Any] | None:
        """Return the invoice of a change, where there is one."""
        return self._invoice(("change", change.key))

    def _stands(self, key: object, change: ItemChange) -> bool:
        """Tell whether an invoice was paid when a change was made: nothing else is returned.

        Who asks may be held up by the very payment.
        """
        row = self._invoice(key)
        if row is None or row.payment_id is None:
            return row is not None
        paid_at = self.paid_at.get(str(row.payment_id))
        return paid_at is not None and (self.pays or paid_at <= change.at + pricing.HELD_UP)

    def _left(self, key: object, line: int, change: ItemChange) -> int | None:
        """Return what was left of a line for a change."""
        row = self._invoice(key)
        if row is None:
            return None
        own = set(self._notes_of(change))
        left = self.tables.lines[row.id][line].gross
        for note in self.tables.notes.get(self.customer, ()):
            if note.invoice_id != row.id:
                continue
            for each in self.tables.note_lines[note.id]:
                if each.line == line + 1 and note.id in own:
                    return left
                if each.line == line + 1 and note.created_at <= change.at:
                    left -= each.gross
        return left

    def _notes_of(self, change: ItemChange) -> Iterator[UUID]:
        """Yield the ids that the notes of a change have."""
        change_id = id_of(self.seed, "change", change.key)
        for k in range(NOTES_OF_A_CHANGE):
            yield derived_id("change_note", change_id, k, change.at)

    # --- what is compared -----------------------------------------------------------------------

    def problems(self, expected: model.Account, sales: model.Sales) -> Iterator[str]:
        """Yield what is wrong."""
        yield from self._redeemed()
        yield from self._asked_for_changes()
        for each in expected.periods:
            row = self._invoice(each.n)
            if row is not None:
                yield from self._differing(f"period {each.n}", row, each.invoice)
        for change in sales.changes:
            came = expected.changed.get(change.key, pricing.NOTHING)
            yield from self._changed(change, came)
        for key, invoice in expected.finals.items():
            row = self._invoice(key)
            if row is None:
                yield f"usage is billed as {invoice} ({key}), and there is no invoice"
            else:
                yield from self._differing(f"usage {key}", row, invoice)
        if sales.usage is not None:
            yield from self.usage().problems(sales.usage, expected.finals)
        yield from self._noted(sales)

    def _differing(self, what: str, row: Row[Any], wanted: pricing.Invoice) -> Iterator[str]:
        lines = self.tables.lines[row.id]
        if pricing.differing(lines, wanted.lines):
            yield f"{what} is invoiced as {_told(lines)}, expected {_told(wanted.lines)}"

    def _redeemed(self) -> Iterator[str]:
        """Each coupon that was redeemed is so once, and at the moment when it was asked for."""
        rows = {(row.coupon, row.subscription_id is None): row for row in self._redemptions()}
        for fact in self.facts:
            code = fact.event.coupon
            if not code or fact.event.kind not in ("coupon", "subscribe"):
                continue
            row = rows.pop((code, fact.event.kind == "coupon" and fact.event.moves), None)
            moments = fact.moments
            if fact.event.kind == "subscribe":
                moments = [next(model.bounds(self.contract))]
            if row is None:
                yield f"coupon {code} of {fact.at} was redeemed, and isn't"
            elif row.at not in moments:
                yield f"coupon {code} was redeemed on {row.at}, asked for on {fact.at}"
            elif not self._could_be_redeemed(row):
                yield f"coupon {code} was redeemed on {row.at}, too late"
        for row in rows.values():
            yield f"coupon {row.coupon} was redeemed on {row.at}, and nobody asked for it"

    def _could_be_redeemed(self, row: Row[Any]) -> bool:
        until = COUPONS[row.coupon].until
        zone = "UTC" if row.subscription_id is None else self.contract.zone
        return until is None or _day(row.at, zone) <= until

    def _asked_for_changes(self) -> Iterator[str]:
        """Each change that was made has its row, which holds from when it was asked for."""
        made = {fact.number for fact, _ in self._changes()}
        for fact in self._of("change"):
            if fact.number not in made:
                yield f"change {fact.number} of {fact.at} was made, and has no row"
        asked = {id_of(self.seed, "change", each.number) for each in self._of("change")}
        for row in self.tables.changes.get(self.subscription, ()):
            if row.change_id not in asked:
                yield f"a change holds from {row.holds_from}, and nobody asked for it"
        for fact, row in self._changes():
            if row.asked_at not in fact.moments:
                yield f"change {fact.number} was asked for on {row.asked_at}, not on {fact.at}"
            if not self._holds_when_asked(fact, row):
                yield (
                    f"change {fact.number} of {row.asked_at} ({fact.event.then}) holds"
                    f" {row.applies} from {row.holds_from}"
                )

    def _holds_when_asked(self, fact: "Fact", row: Row[Any]) -> bool:
        at, then = row.asked_at, fact.event.then
        bounds = list(self._bounds(max(at, row.holds_from)))
        close = [each for each in bounds if abs(each - at) <= pricing.HELD_UP]
        if row.applies == "now":
            return then != LATER and row.holds_from in (at, *close)
        if then == "now" and not (close or self.may_wait):
            return False
        return any(
            end == row.holds_from and (begin <= at <= end or begin in close)
            for begin, end in pairwise((bounds[0], *bounds))
        )

    def _bounds(self, until: datetime) -> Iterator[datetime]:
        for each in model.bounds(self.contract):
            yield each
            if each > until:
                return

    def _changed(self, change: ItemChange, came: OfChange) -> Iterator[str]:
        what = f"change {change.key} of {change.at}"
        row = self._invoice(("change", change.key))
        if (row is None) != (came.invoice is None):
            yield f"{what} is invoiced: {row is not None}, expected {came.invoice}"
        elif row is not None and came.invoice is not None:
            yield from self._differing(what, row, came.invoice)
        ids = set(self._notes_of(change))
        found = {
            (note.invoice_id, each.line - 1): each.gross
            for note in self.tables.notes.get(self.customer, ())
            if note.id in ids
            for each in self.tables.note_lines[note.id]
        }
        wanted = self._returned(came)
        if found != wanted:
            yield f"{what} gives back {found}, expected {wanted}"

    def _returned(self, came: OfChange) -> Mapping[tuple[UUID, int], int]:
        """Return what goes back by line; of an invoice that came to nothing, nothing does."""
        found: dict[tuple[UUID, int], int] = {}
        worth = Counter[UUID]()
        for (key, index), gross in came.returns.items():
            row = self._invoice(key)
            if row is not None:
                line = self.tables.lines[row.id][index]
                found[row.id, index] = gross
                worth[row.id] += gross - line.discount * gross // line.gross
        return {place: gross for place, gross in found.items() if worth[place[0]]}

    # --- credit notes ---------------------------------------------------------------------------

    def _noted(self, sales: model.Sales) -> Iterator[str]:
        """Each note gives back what was asked for, line by line, and never more than there was."""
        asked = {id_of(self.seed, "note", each.number): each for each in self._of("note")}
        of_changes = {each for change in sales.changes for each in self._notes_of(change)}
        before = Counter[tuple[UUID, int]]()
        for note in self._own_notes(asked):
            what, fact = f"note {note.number}", asked.pop(note.id, None)
            lines = self.tables.lines[note.invoice_id]
            if fact is None and note.id not in of_changes:
                yield f"{what} was issued, and nobody asked for it"
            if fact is not None:
                yield from self._as_ordered(what, fact, note, before)
            total = 0
            for each in self.tables.note_lines[note.id]:
                place = (note.invoice_id, each.line)
                line = lines[each.line - 1]
                if before[place] + each.gross > line.gross:
                    yield f"{what} gives back {each.gross} of {line}, of which {before[place]} was"
                total += pricing.noted(line, before[place], each.gross, self.contract.currency)
                before[place] += each.gross
            if note.total != total:
                yield f"{what} gives back {note.total}, expected {total}"
            yield from self._arrived(what, note)
        for fact in asked.values():
            yield f"note {fact.number} of {fact.at} was issued, and has no row"

    def _own_notes(self, asked: dict[UUID, "Fact"]) -> Iterator[Row[Any]]:
        """Yield the notes of this subscription; those of another one were asked for, too."""
        for note in self.tables.notes.get(self.customer, ()):
            if note.subscription_id in (None, self.subscription):
                yield note
            else:
                asked.pop(note.id, None)

    def _as_ordered(
        self, what: str, fact: "Fact", note: Row[Any], before: Counter[tuple[UUID, int]]
    ) -> Iterator[str]:
        order, lines = fact.ordered, self.tables.lines[note.invoice_id]
        assert isinstance(order, OrderedNote), fact
        if order.line is not None:
            wanted = dict([order.line])
        elif order.share is not None:
            percent, currency = order.share[0], self.contract.currency
            wanted = {n: pricing.share_of(line, percent, currency) for n, line in enumerate(lines)}
        else:
            wanted = {
                n: line.gross - before[note.invoice_id, n + 1] for n, line in enumerate(lines)
            }
        found = {each.line - 1: each.gross for each in self.tables.note_lines[note.id]}
        if found != {n: gross for n, gross in wanted.items() if gross}:
            yield f"{what} gives back {found}, asked for was {wanted}"
        if (note.invoice_id, note.destination) != (order.invoice, fact.event.then):
            yield f"{what} is of {note.invoice_id} to {note.destination}, asked for was {order}"
        if note.created_at not in fact.moments:
            yield f"{what} was issued on {note.created_at}, asked for on {fact.at}"

    def _arrived(self, what: str, note: Row[Any]) -> Iterator[str]:
        """What a note gives back is credit, or a refund; of one that failed, it is credit."""
        credit = [each.amount for each in self._credit_of(note)]
        refunded = [] if note.refunded is None else [note.refunded]
        paid = [note.total]
        if note.destination == "credit" or note.refund_state in ("failed", "canceled"):
            right = credit == paid
        else:
            right = not credit and refunded == (paid if note.destination == "refund" else [])
        if not right:
            yield f"{what} of {note.total} to {note.destination} is {credit} of credit, {refunded}"

    def _credit_of(self, note: Row[Any]) -> list[Row[Any]]:
        return [
            each for each in self.tables.given.get(self.customer, ()) if each.note_id == note.id
        ]

    # --- credit ---------------------------------------------------------------------------------

    def invoiced(self, expected: model.Account) -> list[tuple[Row[Any], model.Invoiced]]:
        """Return the invoices in the order in which they were issued."""
        starts = [each.start for each in expected.periods]
        reduced = {each.n: each.invoice.reduced for each in expected.periods}
        found = []
        finals = {row.id: key for key, row in self._finals().items()}
        for row in self.tables.invoices.get(self.subscription, ()):
            if row.id in finals:
                small = True
                what, n = finals[row.id]
                place = (n, 0) if what == "final" else (LAST, n)
            elif row.change_id is None:
                small = reduced.get(row.n, False)
                place = (row.n, 0)
            else:
                small = True
                n = sum(each <= row.holds_from for each in starts) - 1
                place = (n, 1 + row.change_row)
            found.append((place, row, model.Invoiced(row.issued_at, row.total, small)))
        return [(row, each) for _, row, each in sorted(found, key=lambda each: each[0])]

    def granted(
        self, invoiced: Sequence[Row[Any]], changes: Sequence[ItemChange]
    ) -> Iterator[model.Granted]:
        """Yield the credit that notes gave; `changes` are those of all that the customer has."""
        of_changes = {each: change for change in changes for each in self._notes_of(change)}
        for note in self.tables.notes.get(self.customer, ()):
            for grant in self._credit_of(note):
                change = of_changes.get(note.id)
                since = None
                if change is not None:
                    since = _invoice_of(invoiced, id_of(self.seed, "change", change.key))
                yield model.Granted(grant.created_at, note.total, since=since)


def _invoice_of(invoiced: Sequence[Row[Any]], change_id: UUID) -> int | None:
    """Return the number of a change's own invoice; without one, clocks say what comes after it."""
    numbers = (number for number, row in enumerate(invoiced) if row.change_id == change_id)
    return next(numbers, None)


def _day(at: datetime, zone: str) -> date:
    return at.astimezone(ZoneInfo(zone)).date()


def _told(lines: Sequence[Line]) -> str:
    return (
        ", ".join(
            f"{each.item} {each.gross} less {each.discount}, {each.tax} of tax" for each in lines
        )
        or "nothing"
    )


_INVOICES: Final = text(
    "SELECT i.subscription_id AS owner, i.id, i.change_id, c.n, s.id AS change_row,"
    "       s.holds_from, i.total, i.issued_at, i.status, i.credit, i.due, p.id AS payment_id,"
    f"       {ENTRY} AS entry, i.kind,"
    "       (SELECT coalesce(sum(m.amount), 0) FROM credit_moves m"
    "          JOIN credit_grants g ON g.id = m.grant_id AND g.source = 'small'"
    "         WHERE m.invoice_id = i.id AND m.kind = 'applied') AS waived"
    "  FROM invoices i LEFT JOIN cycles c ON c.id = i.cycle_id"
    "  LEFT JOIN subscription_changes s ON s.change_id = i.change_id"
    "  LEFT JOIN payments p ON p.invoice_id = i.id"
    " WHERE i.subscription_id IS NOT NULL"
)
_LINES: Final = text(
    "SELECT invoice_id, item, gross, discount, tax, tax_included FROM invoice_lines"
    " ORDER BY invoice_id, line"
)
_USED: Final = text("SELECT redemption_id, invoice_id FROM invoice_discounts")
_SHARING: Final = text(
    "SELECT customer_id FROM subscriptions GROUP BY customer_id HAVING count(*) > 1"
)
_USES: Final = text(
    "SELECT r.coupon, d.redemption_id, count(*) AS invoices,"
    "       sum(d.amount) AS amount, i.currency"
    "  FROM invoice_discounts d JOIN redemptions r ON r.id = d.redemption_id"
    "  JOIN invoices i ON i.id = d.invoice_id"
    " WHERE i.kind = 'cycle' AND i.status <> 'void' GROUP BY 1, 2, i.currency"
)
_CHANGES: Final = text(
    "SELECT subscription_id AS owner, change_id, asked_at, holds_from, applies, detail"
    "  FROM subscription_changes WHERE kind IN ('quantity', 'plan') ORDER BY id"
)
_REDEMPTIONS: Final = text(
    "SELECT customer_id AS owner, id, coupon, subscription_id, at FROM redemptions ORDER BY at, id"
)
_NOTES: Final = text(
    "SELECT n.customer_id AS owner, n.id, n.invoice_id, n.number, n.total, n.destination,"
    "       n.created_at, r.amount AS refunded, r.state AS refund_state, n.subscription_id"
    "  FROM credit_notes n LEFT JOIN refunds r ON r.note_id = n.id ORDER BY n.series, n.n"
)
_NOTE_LINES: Final = text("SELECT note_id, line, gross FROM credit_note_lines ORDER BY line")
_GIVEN: Final = text(
    "SELECT customer_id AS owner, note_id, amount, created_at FROM credit_grants"
    " WHERE source = 'credit_note' ORDER BY created_at, id"
)
