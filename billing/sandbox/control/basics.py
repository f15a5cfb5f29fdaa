"""Clock, faults, settings, statistics, reset."""

from dataclasses import asdict

from billing.sandbox.control.endpoints import ControlEndpoints, Endpoint, Wanted
from billing.sandbox.errors import Body
from billing.sandbox.idempotency import forget_expired
from billing.sandbox.resources import payouts

_Names = tuple[str, ...]


def _read_clock(control: ControlEndpoints, _: _Names, __: Wanted) -> Body:
    clock = control.account.clock
    return {"now": clock.now(), "pinned": clock.pinned is not None}


def _pin_clock(control: ControlEndpoints, names: _Names, wanted: Wanted) -> Body:
    """Move the clock; everything due by then happens before the answer."""
    instant = wanted.get("now", "")
    if instant is not None and type(instant) is not int:
        raise ValueError('send {"now": <seconds since 1970>} or {"now": null}')
    account = control.account
    account.clock.pin(instant)
    account.catch_up()
    with account.store.transaction():
        payouts.plan_daily(account.call())
    forget_expired(account.store, account.clock.now())
    return _read_clock(control, names, wanted)


def _list_faults(control: ControlEndpoints, _: _Names, __: Wanted) -> Body:
    return {"faults": control.faults.described(), "fired": dict(control.faults.fired)}


def _add_fault(control: ControlEndpoints, _: _Names, wanted: Wanted) -> Body:
    return control.faults.add(wanted).described()


def _clear_faults(control: ControlEndpoints, names: _Names, wanted: Wanted) -> Body:
    control.faults.clear()
    return _list_faults(control, names, wanted)


def _read_settings(control: ControlEndpoints, _: _Names, __: Wanted) -> Body:
    return asdict(control.account.settings)


def _change_settings(control: ControlEndpoints, names: _Names, wanted: Wanted) -> Body:
    account = control.account
    with account.store.transaction():
        account.change_settings(wanted)
        if "payout_schedule" in wanted:
            payouts.plan_daily(account.call())
    return _read_settings(control, names, wanted)


def _read_stats(control: ControlEndpoints, _: _Names, __: Wanted) -> Body:
    return control.stats.report()


def _reset(control: ControlEndpoints, _: _Names, __: Wanted) -> Body:
    account = control.account
    with account.store.transaction():
        account.store.clear()
        account.outbox.endpoints_changed()
        payouts.plan_daily(account.call())
    control.faults.clear()
    control.faults.fired.clear()
    control.stats.clear()
    return {"reset": True}


ENDPOINTS: dict[tuple[str, str], Endpoint] = {
    ("GET", "clock"): _read_clock,
    ("POST", "clock"): _pin_clock,
    ("GET", "faults"): _list_faults,
    ("POST", "faults"): _add_fault,
    ("DELETE", "faults"): _clear_faults,
    ("GET", "settings"): _read_settings,
    ("POST", "settings"): _change_settings,
    ("GET", "stats"): _read_stats,
    ("POST", "reset"): _reset,
}
