"""Webhooks: events posted to endpoints, in a thread beside the requests.

outbox.py        which endpoint is owed which event; written with the event itself
post_office.py   one courier an endpoint, started when there is something to deliver
courier.py       posts what its endpoint is owed, in order, and tries again after failures
conditions.py    loss, repetition, disorder, delay, false signatures: set on purpose
signing.py       the Stripe-Signature header
"""
