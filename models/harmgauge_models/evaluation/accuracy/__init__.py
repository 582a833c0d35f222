"""Judges the accuracy estimate and the alarm on harm on labelled rows."""
