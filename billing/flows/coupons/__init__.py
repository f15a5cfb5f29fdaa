"""Coupons: redeemed here, used where invoices are issued."""

__all__ = ["redeeming"]
