"""A payment provider on your own machine, with faults on demand: Stripe's HTTP API and Braintree's.

Their unmodified SDKs talk to it. `braintree/` has a way of its own. A request of Stripe's API goes
through here in this order:

    handler.py       reads the request off the socket, writes the answer (or drops the connection)
    gate.py          key check, faults, idempotency; runs the endpoint in one transaction
    routing.py       which endpoint; params.py: which parameters it takes
    resources/       one file a resource: its endpoints and how it is rendered
    store.py         SQLite: what survives `kill -9`

Beside the requests, account.py does what the clock sets off, webhooks/ sends events, and
report_writer.py writes report files. `faults.py` and `control/` are the control API
(`/_sandbox/...`), `behaviours.py` says what each test payment method does, `clock.py` is the only
reader of real time.
The sandbox imports nothing from the rest of the project: it must not share its mistakes.
"""

from billing.sandbox.server import SandboxServer

__all__ = ["SandboxServer"]
