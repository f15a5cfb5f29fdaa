"""Faults to plant: changes of the engine's code that the simulator has to find.

Each replaces one passage of one file. Those of `TIME` take back how a period, an end or a debt
follows from what was asked for and when; those of `MONEY` touch what is charged, given back,
booked, settled and closed; those of `SALES` coupons, changes of what is held, and credit
notes; those of `USAGE` what is used and billed afterwards; those of `TAXES` what is levied; those
of `FURTHER` were thought of from the documentation, area by area.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True)
class Fault:
    """A passage of a file, and the one that replaces it."""

    name: str
    path: str
    right: str
    wrong: str

    def plant(self, root: Path) -> None:
        """Change the copy of the code that is under `root`. Raises `ValueError`."""
        file = root / self.path
        code = file.read_text()
        if code.count(self.right) != 1:
            raise ValueError(f"{self.path} has {code.count(self.right)} times: {self.right}")
        file.write_text(code.replace(self.right, self.wrong))


_SUBSCRIPTIONS: Final = "billing/rules/subscriptions.py"
_DUNNING: Final = "billing/rules/dunning.py"
_CHARGING: Final = "billing/flows/cycles/charging.py"
_DECIDING: Final = "billing/flows/cycles/deciding.py"
_OPENING: Final = "billing/flows/cycles/opening.py"
_ENDING: Final = "billing/flows/cycles/ending.py"
_SKIPPING: Final = "billing/flows/cycles/skipping.py"
_CLOSING: Final = "billing/flows/cycles/closing.py"
_LIFECYCLE: Final = "billing/flows/subscriptions/lifecycle.py"
_STATUS: Final = "billing/flows/payments/subscription_status.py"
_COLLECTING: Final = "billing/flows/payments/collecting.py"
_DECLINES: Final = "billing/flows/payments/declines.py"
_OUTCOMES: Final = "billing/flows/payments/outcomes.py"
_WRITE_OFFS: Final = "billing/flows/payments/write_offs.py"
_CUSTOMERS: Final = "billing/flows/customers/customers.py"
_ASKING: Final = "billing/flows/provider_calls.py"
_REFUND_REQUESTS: Final = "billing/flows/refunds/requesting.py"
_REFUND_SENDING: Final = "billing/flows/refunds/sending.py"
_REFUND_OUTCOMES: Final = "billing/flows/refunds/outcomes.py"
_DISPUTES: Final = "billing/flows/disputes/dispute_updates.py"
_POSTING: Final = "billing/flows/settlement/posting.py"
_TERMS: Final = "plans/terms.py"
_PRICES: Final = "billing/pricing/prices.py"
_PERIODS: Final = "billing/rules/periods.py"
_CYCLES: Final = "billing/store/subscriptions/cycles.py"
_REDEMPTIONS: Final = "billing/pricing/redemptions.py"
_DISCOUNTS: Final = "billing/pricing/discounts.py"
_CHANGED: Final = "billing/pricing/changes.py"
_HELD: Final = "billing/rules/item_changes.py"
_OF_CHANGES: Final = "billing/flows/subscriptions/change_invoices.py"
_QUOTES: Final = "billing/flows/subscriptions/change_quotes.py"
_COUPONING: Final = "billing/flows/cycles/couponing.py"
_BOUGHT: Final = "billing/flows/cycles/bought.py"
_NOTES: Final = "billing/pricing/notes.py"
_ARREARS: Final = "billing/flows/cycles/arrears.py"

TIME: Final[Sequence[Fault]] = (
    Fault(
        "a period is paused or billed by what holds today",
        _DECIDING,
        "kind = cycle_kind(changes, scheduled.period.start, scheduled.kind)",
        "kind = cycle_kind(changes, now, scheduled.kind)",
    ),
    Fault(
        "the periods that a release bills are paused as today",
        "billing/flows/subscriptions/releasing.py",
        "opening = decide(subscription, catalog, now, policy, asked, held=held, bill_missed=True)",
        "asked = asked[-1:]\n"
        "            opening = decide(\n"
        "                subscription, catalog, now, policy, asked, held=held, bill_missed=True\n"
        "            )",
    ),
    Fault(
        "canceling at the period's end takes the last period that was opened",
        _LIFECYCLE,
        "    scheduled = subscription.next_period\n    while",
        "    return subscription.renews_at\n    while",
    ),
    Fault(
        "canceling at the period's end before the first tick serves nothing",
        _LIFECYCLE,
        "if subscription.renews_at is None or subscription.renews_at > now:\n        return",
        "if subscription.next_n == 0 or subscription.renews_at > now:\n        return",
    ),
    Fault(
        "the end of a ladder goes on collecting",
        _SUBSCRIPTIONS,
        "return ended_by not in (EndedBy.LADDER, EndedBy.DISPUTE)",
        "return ended_by is not EndedBy.DISPUTE",
    ),
    Fault(
        "the end of a ladder takes away what is paid",
        _ENDING,
        "if paid_until is None or paid_until <= now:",
        "if now:",
    ),
    Fault(
        "unpaid at once, whatever is paid",
        _STATUS,
        "if paid_until is not None and paid_until > now:",
        "if not now:",
    ),
    Fault(
        "the budget puts the end of a ladder off",
        _DECLINES,
        "    return payment.ladder_ends_at if by_ladder else None",
        "    return None if by_ladder else None",
    ),
    Fault(
        "what has ended can be kept",
        _LIFECYCLE,
        "    if subscription.has_ended(now):\n        ended_at",
        "    if subscription.status is Status.CANCELED:\n        ended_at",
    ),
    Fault(
        "paying a debt resumes a pause",
        _SUBSCRIPTIONS,
        "return Status.PAUSED if paused else Status.ACTIVE\n    return status",
        "return Status.ACTIVE\n    return status",
    ),
    Fault(
        "a price published late bills the past",
        _TERMS,
        "return at is None or self.published_at is None or self.published_at <= at",
        "return True",
    ),
    Fault(
        "a stub below the minimum stops the subscription",
        _DECIDING,
        "    if 0 < due < facts.minimum:",
        "    if 0 < drafted.total < facts.minimum:",
    ),
    Fault(
        "a scheduler whose clock is ahead opens",
        _OPENING,
        "        if ahead_by > CLOCK_TOLERANCE:\n            return Opened(",
        "        if ahead_by > ahead_by:\n            return Opened(",
    ),
    Fault(
        "a card that was detached is asked for again and again",
        "billing/gateway/stripe/classify.py",
        "            METHOD_UNUSABLE,\n            OWN_CODES[METHOD_UNUSABLE],",
        "            METHOD_UNUSABLE,\n            type(OWN_CODES[METHOD_UNUSABLE]).SOFT,",
    ),
    Fault(
        "a new card leaves what the old one's budget put off",
        "billing/store/payments/payments.py",
        "(p.decline_class IS NOT NULL OR p.decision = 'held_by_budget')",
        "p.decline_class IS NOT NULL",
    ),
    Fault(
        "a leap month keeps the shorter day",
        _PERIODS,
        "    begin = to_utc(_shifted(start, zone, cadence, k, day), zone)\n"
        "    end = to_utc(_shifted(start, zone, cadence, k + 1, day), zone)",
        "    local = start\n"
        "    for _ in range(k):\n"
        "        local = _shifted(local, zone, cadence, 1, day)\n"
        "    begin = to_utc(local, zone)\n"
        "    end = to_utc(_shifted(local, zone, cadence, 1, day), zone)",
    ),
    Fault(
        "periods are counted in UTC",
        _PERIODS,
        "    return local.replace(tzinfo=zone_of(zone), fold=0).astimezone(UTC)",
        "    offset = local.replace(month=1, day=1, tzinfo=zone_of(zone)).utcoffset()\n"
        "    return (local - offset).replace(tzinfo=UTC)  # type: ignore[operator]",
    ),
    Fault(
        "missed periods above the cap are billed",
        _SUBSCRIPTIONS,
        "    if missed > cap:\n",
        "    if missed > cap * 100:\n",
    ),
    Fault(
        "resuming doesn't withdraw a cancellation",
        _LIFECYCLE,
        "            subscriptions.change(conn, subscription.id, cancels_at=None, ended_by=None)\n"
        "            _record(conn, subscription, DatedChangeKind.KEEP, asked, holds_from=now)\n"
        "            _note",
        "            _note",
    ),
    Fault(
        "a paid debt leaves the subscription past due",
        _STATUS,
        "    after = _after_debt(conn, subscription, others, now)\n    if after is",
        "    after = subscription.status\n    if after is",
    ),
    Fault(
        "one paid debt is enough",
        _STATUS,
        "    others = debts.others_past_due(conn, subscription.id, payment.id)\n    if not others:",
        "    others = False\n    if not others:",
    ),
    Fault(
        "a new card doesn't take an end of the ladder back",
        _STATUS,
        "    if ends:\n        subscriptions.change(",
        "    if not ends:\n        subscriptions.change(",
    ),
    Fault(
        "unpaid periods are billed when it goes on",
        _SKIPPING,
        '"kind": CycleKind.SKIPPED if kind is CycleKind.REGULAR else kind,',
        '"kind": kind,',
    ),
    Fault(
        "the end of a trial isn't told",
        _SUBSCRIPTIONS,
        "    return Status.ACTIVE if status in (Status.SCHEDULED, Status.TRIALING) else status",
        "    return Status.ACTIVE if status is Status.SCHEDULED else status",
    ),
)

MONEY: Final[Sequence[Fault]] = (
    Fault(
        "each send of a charge has a key of its own",
        _COLLECTING,
        "    return gateway.charge(request, first_send=send.call.never_executed)",
        '    key = f"{request.idempotency_key}:{send.call.sends}"\n'
        "    request = replace(request, idempotency_key=key)\n"
        "    return gateway.charge(request, first_send=send.call.never_executed)",
    ),
    Fault(
        "an unknown outcome counts as absent",
        _OUTCOMES,
        "            _unanswered(conn, payment, call, outcome, now, again_at)",
        "            _proven_absent(conn, payment, call, now)",
    ),
    Fault(
        "what isn't in the lists yet counts as absent",
        _ASKING,
        "    if isinstance(found, Absent):\n",
        "    if not isinstance(found, object):\n",
    ),
    Fault(
        "a key is used after the provider forgot it",
        _ASKING,
        "    if age >= policy.keys_hold(capabilities):",
        "    if age >= 100 * policy.keys_hold(capabilities):",
    ),
    Fault(
        "an answer of an earlier attempt ends the next one",
        _COLLECTING,
        "if payment is None or payment.open_attempt_n != send.call.n:",
        "if payment is None or payment.open_attempt_n is None:",
    ),
    Fault(
        "a restored database charges at once",
        _COLLECTING,
        "if held is not None or row.horizon < horizon:",
        "if row.horizon is None:",
    ),
    Fault(
        "canceling forgets the open invoices",
        _LIFECYCLE,
        "void(conn, payment, now=now, actor=actor, why=why, subscription_canceled=True)",
        "pass",
    ),
    Fault(
        "canceling while an attempt is open goes on collecting",
        _LIFECYCLE,
        "payments.change(conn, payment.id, now, next_attempt_kind=AttemptKind.GIVE_UP)",
        "pass",
    ),
    Fault(
        "a new card collects nothing",
        _CUSTOMERS,
        "        retried = retry_with_new_method(conn, at.customer_id, at.provider, now)\n"
        "    return details, retried",
        "        retried = 0\n    return details, retried",
    ),
    Fault(
        "what was written off stays off when it is paid",
        _WRITE_OFFS,
        "    posting.reverse(conn, key, recipes.write_off_reversed, effective_at=now)",
        "    assert key",
    ),
    Fault(
        "voiding leaves the revenue",
        _WRITE_OFFS,
        "    posting.reverse(conn, key, recipes.invoice_voided, effective_at=now)",
        "    assert key",
    ),
    Fault(
        "a hard decline is tried again",
        _DUNNING,
        "    if decline_class is DeclineClass.HARD:\n",
        "    if decline_class is DeclineClass.HARD and rung > 1:\n",
    ),
    Fault(
        "a payment method that is gone is tried again",
        _DUNNING,
        "    if decline_class is DeclineClass.NEEDS_CUSTOMER:\n",
        "    if decline_class is DeclineClass.NEEDS_CUSTOMER and rung > 1:\n",
    ),
    Fault(
        "a ladder is a rung too short",
        _DUNNING,
        "    if rung >= rungs:\n",
        "    if rung + 1 >= rungs:\n",
    ),
    Fault(
        "a manual attempt costs a rung",
        _CUSTOMERS,
        "    return rung - 1 if pending_kind is AttemptKind.LADDER else rung",
        "    return rung",
    ),
    Fault(
        "the card networks' limit of attempts is passed",
        _DUNNING,
        "    if len(declines) >= budget.max_attempts:\n",
        "    if len(declines) >= 10 * budget.max_attempts:\n",
    ),
    Fault(
        "quantity is billed once",
        _CHARGING,
        "        return subscription.quantity\n    if held is not None:\n",
        "        return 1\n    if held is not None:\n",
    ),
    Fault(
        "seats are billed as one",
        _CHARGING,
        "        return held.quantity\n",
        "        return 1\n",
    ),
    Fault(
        "what is charged once is charged each period",
        _CHARGING,
        "(held is None or held.billed_in is not None)",
        "held is None",
    ),
    Fault(
        "a tier ends a unit early",
        _PRICES,
        "        if tier.up_to is None or paid <= tier.up_to:\n",
        "        if tier.up_to is None or paid < tier.up_to:\n",
    ),
    Fault(
        "a share of a period takes its items at their whole prices",
        _CHARGING,
        "        part=1 if once else scheduled.part,\n",
        "        part=scheduled.whole,\n",
    ),
    Fault(
        "credit that was used is offered again",
        "billing/flows/cycles/holding.py",
        "        left=grant.left - used,\n",
        "        left=grant.amount,\n",
    ),
    Fault(
        "credit that expires is used last",
        "billing/pricing/grants.py",
        "    return each.priority, each.expires or _NEVER, each.created, each.grant",
        "    return each.priority, each.created, each.created, each.grant",
    ),
    Fault(
        "credit that expired pays",
        "billing/pricing/grants.py",
        "    expired = each.expires is not None and each.expires <= at\n",
        "    expired = each.expires is not None and at <= each.expires < at\n",
    ),
    Fault(
        "a void invoice keeps its credit",
        _WRITE_OFFS,
        "    crediting.give_back(conn, invoice_id, now, actor)\n",
        "    assert crediting\n",
    ),
    Fault(
        "what credit leaves is too small and stops the subscription",
        _CHARGING,
        "bool(held.discounts or held.credit or usage)",
        "bool(held.discounts or usage)",
    ),
    Fault(
        "a refund may exceed its payment",
        _REFUND_REQUESTS,
        "amount_refunded=payment.amount_refunded + amount.amount)",
        "amount_refunded=payment.amount_refunded)",
    ),
    Fault(
        "what is in dispute can be refunded",
        "billing/store/payments/credit_notes.py",
        "           d.in_dispute\n",
        "           0 AS in_dispute\n",
    ),
    Fault(
        "each send of a refund has a key of its own",
        _REFUND_SENDING,
        "            idempotency_key=self.call.idempotency_key,",
        '            idempotency_key=f"{self.call.idempotency_key}:{self.call.sends}",',
    ),
    Fault(
        "a refund that came back stays given",
        _REFUND_OUTCOMES,
        "    if refund.state == RefundState.SUCCEEDED:\n",
        "    if refund.state == RefundState.FAILED:\n",
    ),
    Fault(
        "the amount of a failed refund can't be refunded again",
        _REFUND_OUTCOMES,
        "amount_refunded=payment.amount_refunded - refund.amount)",
        "amount_refunded=payment.amount_refunded)",
    ),
    Fault(
        "a refund that fails leaves its unearned part unearned",
        _REFUND_OUTCOMES,
        "    if refund.deferred and payment.invoice_id is not None:\n",
        "    if refund.deferred < 0 and payment.invoice_id is not None:\n",
    ),
    Fault(
        "a refund that ended is ended again",
        _REFUND_SENDING,
        "    if not refund.is_open:\n        return refund.state\n    return advance",
        "    return advance",
    ),
    Fault(
        "a late state of a dispute replaces a newer one",
        _DISPUTES,
        "return is_older(seen, row.state) or not ids.issuperset(row.transaction_ids)",
        "return is_older(row.state, row.state)",
    ),
    Fault(
        "a dispute's movement is posted each time",
        _DISPUTES,
        "        if each.transaction_id not in row.transaction_ids\n        and (each",
        "        if (each",
    ),
    Fault(
        "a dispute that was lost is not booked",
        _DISPUTES,
        "    lost = held if state is DisputeState.LOST else held - held\n",
        "    lost = held - held\n",
    ),
    Fault(
        "a refund takes nothing of the lines",
        _REFUND_REQUESTS,
        "    line_parts.add(conn, PartsOf.REFUND, refund_id, payment.invoice_id, taken.lines)\n",
        "",
    ),
    Fault(
        "a credit note takes nothing of the lines",
        "billing/flows/credit_notes/issuing.py",
        "    line_parts.add(conn, PartsOf.CREDIT_NOTE, note_id, invoice.id, made.taken.lines)\n",
        "",
    ),
    Fault(
        "a line earns what went back of it",
        "billing/flows/cycles/recognition.py",
        "step(line.left.deferred, service",
        "step(line.net - line.recognised, service",
    ),
    Fault(
        "a line is earned over the period of the last one",
        "billing/flows/cycles/recognition.py",
        "service_of(line.period, row.issued_at",
        "service_of(standing.lines[-1].period, row.issued_at",
    ),
    Fault(
        "revenue of a void invoice is earned",
        "billing/flows/cycles/recognition.py",
        "    if not row.status.earns:\n",
        "    if not row.status:\n",
    ),
    Fault(
        "a dispute's fee is booked twice",
        _POSTING,
        "    if fee and row.kind not in _FEE_POSTED_ELSEWHERE:\n",
        "    if fee:\n",
    ),
    Fault(
        "fees are not booked",
        _POSTING,
        "    if fee and row.kind not in _FEE_POSTED_ELSEWHERE:\n",
        "    if fee < 0 and row.kind not in _FEE_POSTED_ELSEWHERE:\n",
    ),
    Fault(
        "exchanges are not booked",
        _POSTING,
        "        or row.customer_currency == row.currency\n",
        "        or row.customer_currency\n",
    ),
    Fault(
        "a payout that arrived isn't booked",
        _POSTING,
        "    due = payouts.payouts_to_book(conn, step.provider)\n",
        "    due = payouts.payouts_to_book(conn, step.provider)[:0]\n",
    ),
    Fault(
        "a cycle closes whatever is owed",
        _CLOSING,
        "if all(money.amount == 0 for money in owed[cycle_id])]",
        "if owed is not None]",
    ),
    Fault(
        "a cycle closes before its payment is settled",
        _CYCLES,
        "(i.status = 'paid' AND (p.id IS NULL OR p.settled_at IS NOT NULL))",
        "(i.status = 'paid')",
    ),
    Fault(
        "a cycle that was written off closes at once",
        _CYCLES,
        "                AND c.period_end <= :now))",
        "                AND c.opened_at <= :now))",
    ),
    Fault(
        "a doubled webhook is handled twice",
        "billing/flows/webhooks/inbox.py",
        "return [event for event in by_id.values() if event.id in new]",
        "return list(by_id.values())",
    ),
    Fault(
        "a cycle's ids are fresh ones",
        _DECIDING,
        "    ids = derived_ids(_MADE, subscription.id, scheduled.n, scheduled.period.start)\n",
        "    ids = derived_ids(_MADE, subscription.id, scheduled.n, now)\n",
    ),
)

SALES: Final[Sequence[Fault]] = (
    Fault(
        "a coupon is used once too often",
        _REDEMPTIONS,
        "            return redeemed.invoices < coupon.number\n",
        "            return redeemed.invoices <= coupon.number\n",
    ),
    Fault(
        "a coupon for once is used for ever",
        _REDEMPTIONS,
        '            return redeemed.invoices == 0 or coupon.rest == "kept"\n',
        "            return True\n",
    ),
    Fault(
        "a coupon's months are never over",
        _REDEMPTIONS,
        '            return at < later(redeemed.at, Cadence(coupon.number, "month"), zone)\n',
        '            return redeemed.at < later(at, Cadence(coupon.number, "month"), zone)\n',
    ),
    Fault(
        "a coupon takes off from periods that had begun",
        _REDEMPTIONS,
        "    if at < redeemed.at or not _lasts(redeemed, at, zone):\n",
        "    if not _lasts(redeemed, at, zone):\n",
    ),
    Fault(
        "the rest of a coupon is never used up",
        _REDEMPTIONS,
        "        amount -= redeemed.taken\n",
        "        amount -= 0 * redeemed.taken\n",
    ),
    Fault(
        "a second coupon takes a discount of what the first one took",
        _DISCOUNTS,
        "        left = list(map(sub, left, parts))\n",
        "        left = [each for each, _ in zip(left, parts, strict=True)]\n",
    ),
    Fault(
        "a coupon is for what is charged once, too",
        _DISCOUNTS,
        "    return not line.once if discount.on is None else line.item in discount.on\n",
        "    return discount.on is None or line.item in discount.on\n",
    ),
    Fault(
        "a coupon is redeemed above its limit",
        "migrations/versions/0047_items_and_coupons.py",
        "  IF (SELECT count(*) FROM public.redemptions WHERE coupon = NEW.coupon) >= most THEN",
        "  IF (SELECT count(*) FROM public.redemptions WHERE coupon = NEW.coupon) > most THEN",
    ),
    Fault(
        "a coupon is redeemed after its last day",
        "billing/flows/coupons/redeeming.py",
        "to_local(now, zone).date() > coupon.until:\n",
        "to_local(now, zone).date() < coupon.until:\n",
    ),
    Fault(
        "a coupon isn't for what a change charges",
        _OF_CHANGES,
        "            discounts=charged.discounts,\n",
        "            discounts=(),\n",
    ),
    Fault(
        "the day of a change isn't charged",
        _CHANGED,
        "    return (civil_days_between(at, period.end, zone), whole) if whole else (0, 1)\n",
        "    left = max(0, civil_days_between(at, period.end, zone) - 1)\n"
        "    return (left, whole) if whole else (0, 1)\n",
    ),
    Fault(
        "a change charges its units from the first one on",
        _CHANGED,
        "    return [replace(charge, quantity=want - kept, before=kept)]\n",
        "    return [replace(charge, quantity=want - kept)]\n",
    ),
    Fault(
        "what a change takes away isn't given back",
        _OF_CHANGES,
        "    return ChangeCost(facts, _by_invoice(change.returns))\n",
        "    return ChangeCost(facts, _by_invoice(change.returns[:0]))\n",
    ),
    Fault(
        "a change gives back what was charged before it alone",
        _OF_CHANGES,
        "        found += _charged(conn, invoice, facts)\n",
        "        found = [*_charged(conn, invoice, facts)]\n",
    ),
    Fault(
        "what a change gives back can't pay its invoice",
        _QUOTES,
        "    return replace(facts, credit=batch.of(subscription, now).credit), notes\n",
        "    return replace(facts, credit=before.credit), notes\n",
    ),
    Fault(
        "a change that another one follows is lost",
        _HELD,
        "    for asked, change in sorted(counted, key=lambda each: each[1].holds_from):\n",
        "    for asked, change in counted[-1:]:\n",
    ),
    Fault(
        "of changes of one item the first one wins",
        _HELD,
        "    for asked, change in sorted(counted, key=lambda each: each[1].holds_from):\n",
        "    for asked, change in sorted(counted[::-1], key=lambda each: each[1].holds_from):\n",
    ),
    Fault(
        "a change at once is forgotten with the next period",
        _HELD,
        "        return change.holds_from < start\n",
        "        return change.holds_from >= start\n",
    ),
    Fault(
        "another plan brings its default quantities",
        _HELD,
        "    items = {code: held.items.get(code, default) for code, default in"
        " change.defaults.items()}\n",
        "    items = dict(change.defaults)\n",
    ),
    Fault(
        "a removed add-on is charged on",
        _HELD,
        "    removed = {code for code in addons if not items.get(code)}\n",
        "    removed = {code for code in addons if code not in items}\n"
        "    items = {code: quantity or 1 for code, quantity in items.items()}\n",
    ),
    Fault(
        "a change for the period's end holds at once",
        "billing/rules/change_states.py",
        "    if applies is Applies.PERIOD_END or stands in _SCHEDULED_ONLY:\n",
        "    if stands in _SCHEDULED_ONLY:\n",
    ),
    Fault(
        "a new card leaves what a change is owed",
        "billing/store/payments/payments.py",
        "(c.state = 'opened' OR c.id IS NULL AND i.id IS NOT NULL AND p.state = 'CREATED')",
        "c.state = 'opened'",
    ),
    Fault(
        "a note leaves the discount out",
        _NOTES,
        "    discount = _share(line.discount, gross, line.gross, step)\n",
        "    discount = line.discount if gross == line.gross else 0\n",
    ),
    Fault(
        "a note of a share gives all back",
        "billing/flows/credit_notes/drafting.py",
        "        Return(index, half_up(line.gross * part, whole, step if line.gross % step == 0"
        " else 1))\n",
        "        Return(index, half_up(line.gross * whole, whole, step if line.gross else part))\n",
    ),
    Fault(
        "a note gives no credit",
        "billing/flows/credit_notes/issuing.py",
        "        crediting.grant_note(conn, note, now)\n",
        "        assert crediting\n",
    ),
)

FURTHER: Final[Sequence[Fault]] = (
    Fault(
        "each rung of a ladder waits as long as the first",
        _DUNNING,
        "    step = ladder.retry_after[rung]\n",
        "    step = ladder.retry_after[0]\n",
    ),
    Fault(
        "a ladder that waits for the customer is a rung short",
        _DUNNING,
        "    for step in ladder.retry_after[rung:]:\n",
        "    for step in ladder.retry_after[rung + 1 :]:\n",
    ),
    Fault(
        "a period that has begun counts as missed",
        _DECIDING,
        "not bill_missed and scheduled.period.end <= now\n",
        "not bill_missed and scheduled.period.start <= now\n",
    ),
    Fault(
        "coupons are used in the order of their redemption",
        _REDEMPTIONS,
        "key=lambda each: (each.coupon.stack, each.at, each.redemption))",
        "key=lambda each: (each.at, each.redemption))",
    ),
    Fault(
        "a coupon of all of a customer takes nothing off",
        _COUPONING,
        "            for owner in (subscription.id, subscription.customer_id)\n",
        "            for owner in (subscription.id,)\n",
    ),
    Fault(
        "what an invoice uses of a coupon isn't counted in a batch",
        _COUPONING,
        "                known, invoices=known.invoices + 1, taken=taken\n",
        "                known, invoices=known.invoices, taken=taken\n",
    ),
    Fault(
        "credit pays no one-off invoice",
        "billing/flows/invoices/ordering.py",
        "        credit=credit,\n",
        "        credit=credit[:0],\n",
    ),
    Fault(
        "credit that was bought never expires",
        _BOUGHT,
        "now + timedelta(days=days),\n",
        "now + timedelta(days=10 * days),\n",
    ),
    Fault(
        "credit that was bought has the usual priority",
        _BOUGHT,
        '                "priority": ordered.priority,\n',
        '                "priority": 50,\n',
    ),
    Fault(
        "credit that expired is never written off",
        "billing/flows/credit/expiring.py",
        "    left = [grant for grant in due if grant.left]\n",
        "    left = [grant for grant in due if not grant.left]\n",
    ),
    Fault(
        "a refund of a part gives all back",
        _REFUND_REQUESTS,
        "    if amount is None:\n        amount = left\n    elif amount.currency",
        "    if amount is None or amount < left:\n        amount = left\n    elif amount.currency",
    ),
    Fault(
        "a second refund of a payment is refused",
        _REFUND_REQUESTS,
        "    if left.amount == 0 or amount > left:\n",
        "    if left.amount < captured.amount or amount > left:\n",
    ),
    Fault(
        "another engine's money counts as ours",
        "billing/flows/settlement/matching.py",
        "        passed = matching.pass_over(conn, batch, engine=engine_id(conn), now=step.now)\n",
        "        passed = 0 * bool(engine_id(conn))\n",
    ),
    Fault(
        "a trial never becomes active",
        _SUBSCRIPTIONS,
        "        return Status.TRIALING\n",
        "        return Status.ACTIVE\n",
    ),
    Fault(
        "a decline leaves the subscription active",
        _SUBSCRIPTIONS,
        "    return Status.PAST_DUE if status in (Status.TRIALING, Status.ACTIVE) else status\n",
        "    return Status.PAST_DUE if status is Status.TRIALING else status\n",
    ),
    Fault(
        "periods that were skipped are paused ones",
        _SKIPPING,
        "CycleKind.SKIPPED if kind is CycleKind.REGULAR else kind,",
        "CycleKind.PAUSED if kind is CycleKind.REGULAR else kind,",
    ),
    Fault(
        "a change gives the oldest units back first",
        _CHANGED,
        "        if end > kept:\n"
        "            charge = _with_share(piece.charge, share)\n"
        "            gross = bounded_price(charge, end, step)\n"
        "            if max(first, kept):\n"
        "                gross -= bounded_price(charge, max(first, kept), step)\n",
        "        gone = sum(each.charge.quantity for each in pieces) - kept\n"
        "        if first < gone:\n"
        "            charge = _with_share(piece.charge, share)\n"
        "            gross = bounded_price(charge, min(end, gone), step)\n"
        "            if first:\n"
        "                gross -= bounded_price(charge, first, step)\n",
    ),
    Fault(
        "under a volume price a change charges the new units alone",
        _CHANGED,
        "        if terms.price.model is PriceModel.VOLUME and have != want:\n",
        "        if terms.price.model is PriceModel.VOLUME and have > want:\n",
    ),
    Fault(
        "a change gives more back than is left of a line",
        _CHANGED,
        "        amount = min(gross, line.left)\n",
        "        amount = gross\n",
    ),
    Fault(
        "who is past due can buy more",
        "billing/rules/change_states.py",
        "    if stands is ChangeStanding.PAST_DUE:\n",
        "    if stands is ChangeStanding.PAST_DUE and not move.costs_more:\n",
    ),
    Fault(
        "a quote that moved is applied",
        "billing/flows/subscriptions/changing.py",
        "        if digest is not None and digest != quoted.digest:\n",
        "        if digest is not None and not quoted.digest:\n",
    ),
    Fault(
        "revenue of a period is earned when it begins",
        "billing/rules/recognition.py",
        "    if now >= period.end:\n",
        "    if now >= period.start:\n",
    ),
    Fault(
        "the last day of a coupon isn't one of its days",
        "billing/flows/coupons/redeeming.py",
        "to_local(now, zone).date() > coupon.until:\n",
        "to_local(now, zone).date() >= coupon.until:\n",
    ),
)

USAGE: Final[Sequence[Fault]] = (
    Fault(
        "usage that comes late is never billed",
        "billing/store/usage/closings.py",
        "     WHERE c.events IS DISTINCT FROM t.events\n",
        "     WHERE c.events IS NULL\n",
    ),
    Fault(
        "usage that comes late is billed with what was billed before",
        _ARREARS,
        "        quantity=total - before,\n",
        "        quantity=total,\n",
    ),
    Fault(
        "usage of the last day of a period isn't counted",
        "billing/rules/usage_counting.py",
        "(each for each in self.periods if each.start <= at < each.end), None",
        "(each for each in self.periods if each.start <= at < each.end - timedelta(1)), None",
    ),
    Fault(
        "usage after a change is billed at the price of before",
        _ARREARS,
        "    if terms is not None and segment.starts_at > period.start:\n",
        "    if terms is not None and segment.starts_at < period.start:\n",
    ),
    Fault(
        "usage of a trial is billed",
        _ARREARS,
        "        return run.sold.item.bills_trial\n",
        "        return run.sold.item is not None\n",
    ),
    Fault(
        "bounds of usage are those of a whole period",
        _ARREARS,
        "    return min(days if period.opened else max(1, days), whole), whole\n",
        "    return whole, max(whole, days)\n",
    ),
    Fault(
        "what was used last isn't billed",
        _ENDING,
        "    if forgive:\n        return {",
        "    if not forgive:\n        return {",
    ),
    Fault(
        "by two names a subscription counts usage under two terms",
        "billing/flows/usage/ingesting.py",
        "                seen[known.subscription.id] = _READ_TWICE\n",
        "                seen[known.subscription.id] = known.seen\n",
    ),
    Fault(
        "an event that was sent twice counts twice",
        "billing/rules/usage.py",
        "    return UsageEvent(event_id(written), name, at, properties or {}, *subject)\n",
        "    written = f'{written} {id(row)}'\n"
        "    return UsageEvent(event_id(written), name, at, properties or {}, *subject)\n",
    ),
)

TAXES: Final[Sequence[Fault]] = (
    Fault(
        "taxes are rounded line by line",
        "billing/pricing/taxes.py",
        "    net, by_line = list(amounts), rounding is TaxRounding.LINE\n",
        "    net, by_line = list(amounts), rounding is not TaxRounding.LINE\n",
    ),
    Fault(
        "the customer never owes the tax",
        "billing/tax/deciding.py",
        '    return buyer.vat_confirmed is True or seller.reverse_charge == "valid"\n',
        '    return buyer.vat_confirmed is True and seller.reverse_charge == "valid"\n',
    ),
    Fault(
        "a credit note gives no tax back that came on top",
        _NOTES,
        "            taxes[place] = _share(parts[place], rest, whole, step)\n    return",
        "            taxes[place] = 0 * _share(parts[place], rest, whole, step)\n    return",
    ),
    Fault(
        "what is known of a customer at first decides for ever",
        "billing/flows/cycles/taxing.py",
        "        found = tax_facts.at_instant(self.facts.get(customer_id, ()), at)\n",
        "        found = tax_facts.at_instant(self.facts.get(customer_id, ())[:1], at)\n",
    ),
)

FAULTS: Final[Sequence[Fault]] = (*TAXES, *USAGE, *TIME, *MONEY, *SALES, *FURTHER)
