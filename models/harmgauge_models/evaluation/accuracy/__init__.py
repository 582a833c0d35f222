"""Judges the estimate of accuracy and the alarm on harm on labelled rows."""
