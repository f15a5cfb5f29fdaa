"""The control API under /_sandbox: what a test changes on the provider's side. JSON both ways.

basics.py     clock, faults, settings, statistics, reset
money.py      what happens at the provider: payments, refunds, disputes, payouts, cards
webhooks.py   endpoints with their secrets, the conditions of delivery, events once more
reports.py    report files
braintree.py  settings, disputes, webhooks and the rest of the Braintree side
triggers.py   an event of a type, by the change that brings it about
"""

from billing.sandbox.control.answering import Control
from billing.sandbox.control.endpoints import ControlEndpoints

__all__ = ["Control", "ControlEndpoints"]
