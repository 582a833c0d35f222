"""Is the estimate of accuracy right, and the alarm on harm? Judged on rows whose labels are there."""
