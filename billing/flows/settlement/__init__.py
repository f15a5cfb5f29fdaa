"""Settlement: the steps that match our books with the provider's, and the tie-out."""

__all__ = ["charge_list", "report_source", "runs", "stepping", "tie_out"]
