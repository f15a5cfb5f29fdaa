"""Recording exchanges that a person made from the balance at the provider.

Such an exchange appears at the provider as two balance transactions without a payment: one out in
one currency, one in in another. Recording it joins the two: it inserts one row into `fx_events`,
posts one entry, and resolves their breaks. An exchange may be recorded before the settlement shows
it. Then the same command with the two transactions follows later and posts nothing more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal  # noqa: TID251  exchange rates are no money
from hashlib import sha256

from sqlalchemy import Connection, Engine

from billing.crash_points import CrashPoint, marked
from billing.errors import BadInput, Conflict, ErrorCode, NotFound
from billing.ledger import keys, recipes
from billing.rules.actor import Actor
from billing.rules.money import Money
from billing.rules.reconciliation import (
    BreakKind,
    BreakNoteKind,
    MovementKind,
    RowOutcome,
    rate_makes,
)
from billing.store.access import audit
from billing.store.journal import posting
from billing.store.settlement import breaks, exchanges
from billing.store.settlement import rows as settlement_rows
from billing.store.settlement.breaks import Break
from billing.store.settlement.rows import SettlementRow


@dataclass(frozen=True, slots=True)
class Exchange:
    """One exchange: the amounts sold and bought, with the fee and the rate.

    `provider` is the account that holds the money. `fee` is part of `bought` and stayed with the
    provider. `rate` is exact, from one currency to
    the other in major units.

    Raises: BadInput for amounts that can't be an exchange, or that don't fit the rate.
    """

    provider: str
    sold: Money
    bought: Money
    fee: Money
    rate: Decimal
    at: datetime
    source: str

    def __post_init__(self) -> None:
        if self.sold.currency == self.bought.currency:
            raise BadInput(
                f"{self.sold} for {self.bought} is no exchange: that's one currency",
                code=ErrorCode.EXCHANGE_ONE_CURRENCY,
            )
        if self.sold.amount <= 0 or self.bought.amount <= 0:
            raise BadInput(
                f"an exchange takes amounts above zero, not {self.sold} for {self.bought}",
                code=ErrorCode.EXCHANGE_AMOUNT_SIGN,
            )
        if self.fee.currency != self.bought.currency or not (
            0 <= self.fee.amount < self.bought.amount
        ):
            raise BadInput(
                f"a fee of {self.fee} can't be part of {self.bought}",
                code=ErrorCode.EXCHANGE_FEE,
            )
        if not self.source.strip():
            raise BadInput(
                "an exchange says where its rate is from", code=ErrorCode.EXCHANGE_SOURCE_MISSING
            )
        if not self.rate.is_finite() or self.rate <= 0:
            raise BadInput(f"{self.rate} is no rate", code=ErrorCode.EXCHANGE_RATE)
        if not rate_makes(self.sold, self.bought, self.rate):
            raise BadInput(
                f"at {self.rate}, {self.sold} doesn't make {self.bought}",
                code=ErrorCode.EXCHANGE_RATE_DIFFERS,
            )

    @property
    def comes_in(self) -> Money:
        """The increase of the balance in the currency bought."""
        return self.bought - self.fee

    @property
    def first_here_key(self) -> str:
        """The source key while no transaction of the provider is known."""
        at = keys.compact(self.at)
        source = sha256(self.source.strip().encode()).hexdigest()[:16]  # a key has no spaces
        sold, bought = (f"{m.amount}{m.currency}" for m in (self.sold, self.bought))
        return keys.fx_event(self.provider, f"{exchanges.UNMATCHED}{at}:{sold}:{bought}:{source}")


@dataclass(frozen=True, slots=True)
class Recording:
    """The effects of recording. `posts`: the exchange is new; `explains`: the rows that it
    resolves.
    """

    source_key: str
    posts: bool
    explains: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether recording writes anything; not where the exchange is recorded completely."""
        return self.posts or bool(self.explains)


def preview(
    conn: Connection, exchange: Exchange, references: Sequence[str], *, now: datetime
) -> Recording:
    """Return what recording would do. Raises: BadInput, NotFound, Conflict."""
    return _plan(conn, exchange, references, now)


def record(
    engine: Engine,
    exchange: Exchange,
    references: Sequence[str],
    *,
    reason: str,
    now: datetime,
    actor: Actor,
) -> Recording:
    """Record an exchange, post it, and resolve its two transactions.

    `references` are the transaction out and the transaction in, or none. Everything is one database
    transaction; recording the same exchange again changes nothing. Raises: BadInput, NotFound,
    Conflict.
    """
    if not reason.strip():
        raise BadInput("recording an exchange takes a reason", code=ErrorCode.REASON_MISSING)
    with marked(CrashPoint.RATE_RECORDED), engine.begin() as conn:
        plan = _plan(conn, exchange, references, now)
        if plan.posts:
            _post(conn, exchange, plan.source_key)
        if plan.explains:
            _explain(conn, exchange.provider, plan, reason.strip(), now, actor)
        if plan.changes:
            audit.record(
                conn,
                actor=actor,
                action="fx.record",
                subject=plan.source_key,
                why=reason.strip(),
                detail={
                    "provider": exchange.provider,
                    "sold": str(exchange.sold),
                    "bought": str(exchange.bought),
                    "fee": str(exchange.fee),
                    "rate": str(exchange.rate),
                    "references": list(plan.explains),
                    "posted": plan.posts,
                },
            )
    return plan


# --- deciding -----------------------------------------------------------------------------------


def _plan(
    conn: Connection, exchange: Exchange, references: Sequence[str], now: datetime
) -> Recording:
    if exchange.at > now:
        raise BadInput(f"{exchange.at:%Y-%m-%dT%H:%M:%SZ} is still to come", where="--at")
    if not references:
        exchanges.one_at_a_time(conn)
        return _without_references(conn, exchange)
    if len(references) != 2 or references[0] == references[1]:
        raise BadInput(
            "an exchange is two transactions at the provider",
            where="--reference",
            code=ErrorCode.EXCHANGE_REFERENCES,
        )
    rows = _locked(conn, exchange.provider, references)
    exchanges.one_at_a_time(conn)
    found = breaks.lock_of_transactions(conn, exchange.provider, references)
    if (known := _known(found, references)) is not None:
        return _again(conn, exchange, known)
    for row, expected in zip(rows, (-exchange.sold, exchange.comes_in), strict=True):
        _check_row(row, expected, found)
    return _with_references(conn, exchange, references)


def _without_references(conn: Connection, exchange: Exchange) -> Recording:
    key = exchange.first_here_key
    if exchanges.by_key(conn, key) is not None:
        return _again(conn, exchange, key)
    for same in exchanges.with_same_amounts(
        conn, exchange.provider, *_amounts(exchange), exchange.at
    ):
        return _again(conn, exchange, same.source_key)
    shown = [
        settlement_rows.unknown_with_net(conn, exchange.provider, money.currency, money.amount)
        for money in (-exchange.sold, exchange.comes_in)
    ]
    if all(shown):
        (out, *_), (back, *_) = shown
        raise Conflict(
            f"the provider shows such amounts already: {out} and {back}",
            code=ErrorCode.EXCHANGE_SHOWN_ALREADY,
            out=out,
            back=back,
        )
    return Recording(key, True)


def _with_references(conn: Connection, exchange: Exchange, references: Sequence[str]) -> Recording:
    explains = tuple(references)
    if exchanges.by_key(conn, exchange.first_here_key) is not None:
        # This exchange was recorded without references: otherwise the rows' breaks would name its
        # key.
        same = _again(conn, exchange, exchange.first_here_key)
        unshown = exchanges.with_same_amounts(conn, exchange.provider, *_amounts(exchange), None)
        if same.source_key in [row.source_key for row in unshown]:
            return Recording(same.source_key, False, explains)
        raise Conflict(
            f"{same.source_key} is other transactions of the provider's",
            code=ErrorCode.EXCHANGE_OF_OTHERS,
        )
    for waiting in exchanges.with_same_amounts(conn, exchange.provider, *_amounts(exchange), None):
        raise Conflict(
            f"{waiting.source_key} has the same amounts and waits for its transactions",
            code=ErrorCode.EXCHANGE_WAITING,
        )
    key = keys.fx_event(exchange.provider, f"{references[0]}:{references[1]}")
    return Recording(key, True, explains)


def _amounts(exchange: Exchange) -> tuple[tuple[int, str], tuple[int, str]]:
    sold, bought = exchange.sold, exchange.bought
    return (sold.amount, sold.currency), (bought.amount, bought.currency)


def _again(conn: Connection, exchange: Exchange, key: str) -> Recording:
    """Return the effects of recording an exchange again. Raises: Conflict where it was recorded
    with other values.
    """
    row = exchanges.by_key(conn, key)
    assert row is not None, "exchanges are never deleted"
    stored = (row.from_amount, row.from_currency), (row.to_amount, row.to_currency)
    same = (
        stored == _amounts(exchange)
        and row.fee == exchange.fee.amount
        and row.rate == exchange.rate
        and row.at == exchange.at
        and row.source == exchange.source.strip()
    )
    if not same:
        sold = Money(row.from_amount, row.from_currency)
        bought = Money(row.to_amount, row.to_currency)
        raise Conflict(
            f"it is recorded otherwise, as {key}: {sold} for {bought} at {row.rate}, fee"
            f" {Money(row.fee, row.to_currency)}, {row.at:%Y-%m-%dT%H:%M:%SZ}, {row.source}",
            code=ErrorCode.EXCHANGE_RECORDED_OTHERWISE,
        )
    return Recording(key, False)


# --- the provider's two transactions --------------------------------------------------------------


def _locked(conn: Connection, provider: str, references: Sequence[str]) -> list[SettlementRow]:
    rows = settlement_rows.lock_rows(conn, provider, references)
    for reference in references:
        if reference not in rows:
            raise NotFound(
                f"no balance transaction {reference} was read",
                where="--reference",
                code=ErrorCode.TRANSACTION_NOT_READ,
            )
    return [rows[reference] for reference in references]


def _known(found: Sequence[Break], references: Sequence[str]) -> str | None:
    """Return the key of the exchange that the breaks of both transactions name, if any."""
    keys = {
        row.provider_transaction_id: row.ours[exchanges.EXCHANGE_KEY]
        for row in found
        if exchanges.EXCHANGE_KEY in row.ours
    }
    out, back = (keys.get(reference) for reference in references)
    return out if out == back else None


def _check_row(row: SettlementRow, expected: Money, found: Sequence[Break]) -> None:
    """Check that a transaction is unexplained and moved exactly this amount."""
    name = row.provider_transaction_id
    if row.matched_at is not None:
        raise Conflict(
            f"{name} is done with: {row.outcome}",
            where="--reference",
            code=ErrorCode.TRANSACTION_EXPLAINED,
        )
    if row.kind == MovementKind.CHARGE or row.payment_id or row.provider_payment_id:
        raise Conflict(f"{name} is about a payment", where="--reference")
    is_open = any(
        each.provider_transaction_id == name
        and each.kind == BreakKind.UNKNOWN_AT_PROVIDER
        and each.resolved_at is None
        for each in found
    )
    if row.outcome != BreakKind.UNKNOWN_AT_PROVIDER or not is_open:
        raise Conflict(
            f"{name} is no break of the kind {BreakKind.UNKNOWN_AT_PROVIDER}",
            where="--reference",
            code=ErrorCode.BREAK_OF_OTHER_KIND,
        )
    if (moved := Money(row.net, row.currency)) != expected:
        raise BadInput(
            f"{name} moved {moved}, where the exchange moves {expected}",
            where="--reference",
            code=ErrorCode.EXCHANGE_AMOUNTS_DIFFER,
        )


# --- doing --------------------------------------------------------------------------------------


def _post(conn: Connection, exchange: Exchange, key: str) -> None:
    exchanges.add(
        conn,
        exchange.provider,
        [
            {
                "source_key": key,
                "source": exchange.source.strip(),
                "from_currency": exchange.sold.currency,
                "from_amount": exchange.sold.amount,
                "to_currency": exchange.bought.currency,
                "to_amount": exchange.bought.amount,
                "rate": str(exchange.rate),
                "at": exchange.at,
                "payment_id": None,
            }
        ],
    )
    entry = recipes.fx_event(
        provider=exchange.provider,
        source=key.removeprefix(keys.fx_event(exchange.provider, "")),
        sold=exchange.sold,
        bought=exchange.bought,
        fee=exchange.fee,
        effective_at=exchange.at,
    )
    posting.post(conn, [entry])


def _explain(
    conn: Connection, provider: str, plan: Recording, reason: str, now: datetime, actor: Actor
) -> None:
    """Resolve the two rows, whose amounts the exchange's entry posts, and their breaks."""
    for reference in plan.explains:
        settlement_rows.decide_row(
            conn,
            provider,
            reference,
            str(RowOutcome.RESOLVED),
            now,
            done=True,
            nothing_to_post=True,
        )
    for row in breaks.lock_of_transactions(conn, provider, plan.explains):
        if row.resolved_at is not None:
            continue
        breaks.change(
            conn,
            row.id,
            resolved_at=now,
            resolution=reason,
            resolved_by=str(actor),
            ours={**row.ours, exchanges.EXCHANGE_KEY: plan.source_key},
        )
        facts = {"reason": reason, "exchange": plan.source_key}
        breaks.annotate(conn, row.id, BreakNoteKind.RESOLVED, at=now, actor=actor, facts=facts)
