"""Fuzzing: every reader of untrusted input, compared with an independent reading of the same bytes."""
