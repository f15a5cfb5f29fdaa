"""What is sold: the terms of every plan, and the loader of the catalog.

Imports nothing of `billing` but the check for card numbers (`billing.pan`).
"""
