"""The control API under /_sandbox: clock, faults, settings, statistics. JSON both ways."""

import json
from collections.abc import Callable
from typing import Any

from billing.sandbox.call import Call
from billing.sandbox.clock import Clock
from billing.sandbox.errors import ApiError, Body, Reply
from billing.sandbox.faults import Faults
from billing.sandbox.gate import Gate
from billing.sandbox.http import Answer, Request, json_answer
from billing.sandbox.idempotency import forget_expired
from billing.sandbox.resources import KINDS, payment_intents
from billing.sandbox.settings import save_settings
from billing.sandbox.stats import Stats
from billing.sandbox.store import Store


class Control:
    """Answer /_sandbox requests. There is no key to them: the server listens on loopback."""

    def __init__(
        self, store: Store, clock: Clock, gate: Gate, levers: Faults, stats: Stats
    ) -> None:
        self._store = store
        self._clock = clock
        self._gate = gate
        self._faults = levers
        self._stats = stats
        self._endpoints: dict[tuple[str, str], Callable[[Any], Body]] = {
            ("GET", "clock"): self._read_clock,
            ("POST", "clock"): self._pin_clock,
            ("GET", "faults"): self._list_faults,
            ("POST", "faults"): lambda wanted: levers.add(wanted).described(),
            ("DELETE", "faults"): self._clear_faults,
            ("GET", "settings"): self._read_settings,
            ("POST", "settings"): self._change_settings,
            ("GET", "stats"): lambda _: stats.report(),
            ("POST", "reset"): self._reset,
            ("POST", "payment_intents"): self._make_payment_intent,
        }

    def answer(self, request: Request) -> Answer:
        """Return the answer to a control request."""
        endpoint = self._endpoints.get((request.method, request.path.removeprefix("/_sandbox/")))
        if endpoint is None:
            return _problem(404, f"no such control endpoint: {request.method} {request.path}")
        try:
            wanted = json.loads(request.body or "{}")
            if not isinstance(wanted, dict):
                raise ValueError("send a JSON object")
            return json_answer(Reply(200, endpoint(wanted)))
        except ApiError as error:
            return json_answer(error.reply)
        except (ValueError, TypeError) as error:
            return _problem(400, str(error))

    def _read_clock(self, _: Any) -> Body:
        return {"now": self._clock.now(), "pinned": self._clock.pinned is not None}

    def _pin_clock(self, wanted: dict[str, Any]) -> Body:
        instant = wanted.get("now", "")
        if instant is not None and type(instant) is not int:
            raise ValueError('send {"now": <seconds since 1970>} or {"now": null}')
        self._clock.pin(instant)
        forget_expired(self._store, self._clock.now())
        return self._read_clock(None)

    def _list_faults(self, _: Any) -> Body:
        return {"faults": self._faults.described(), "fired": dict(self._faults.fired)}

    def _clear_faults(self, _: Any) -> Body:
        self._faults.clear()
        return self._list_faults(None)

    def _read_settings(self, _: Any) -> Body:
        settings = self._gate.settings
        return {name: getattr(settings, name) for name in settings.__dataclass_fields__}

    def _change_settings(self, wanted: dict[str, Any]) -> Body:
        settings = self._gate.settings.changed(wanted)
        save_settings(self._store, settings)
        self._gate.settings = settings
        return self._read_settings(None)

    def _reset(self, _: Any) -> Body:
        with self._store.transaction():
            self._store.clear()
        self._faults.clear()
        self._faults.fired.clear()
        self._stats.clear()
        return {"reset": True}

    def _make_payment_intent(self, wanted: dict[str, Any]) -> Body:
        """Make a payment on the provider's side, one that the engine knows nothing of."""
        form = {"payment_method": "pm_card_visa", **wanted, "confirm": True, "off_session": True}
        params = payment_intents.CREATE_PARAMS.read(
            {name: _as_form(value) for name, value in form.items()}
        )
        with self._store.transaction():
            now, settings = self._clock.now(), self._gate.settings
            call = Call(self._store, settings, now, KINDS, params=params)
            return payment_intents.create(call).body


def _as_form(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else value


def _problem(status: int, message: str) -> Answer:
    return json_answer(Reply(status, {"error": {"message": message}}))
