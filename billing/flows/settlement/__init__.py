"""Settlement: our books are matched with the provider's, step by step, and tied out."""

__all__ = ["charge_list", "report_source", "runs", "step_run", "tie_out"]
