"""Credit that customers hold towards later invoices: granted, expired and revoked here, used where
invoices are issued.
"""

__all__ = ["expiring", "granting", "revoking"]
