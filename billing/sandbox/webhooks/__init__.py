"""Webhooks: events sent to endpoints, in a thread beside the requests.

outbox.py        which endpoint still lacks which event; written with the event itself
dispatcher.py    one sender an endpoint, started when there is something to deliver
endpoint_sender.py   sends its endpoint what it lacks, in order, and again after failures
conditions.py    loss, repetition, disorder, delay, false signatures: set on purpose
signing.py       the Stripe-Signature header
"""
