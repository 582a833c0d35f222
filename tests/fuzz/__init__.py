"""Fuzzing: every reader of what strangers send, against an independent reading of the same bytes."""
