"""Errors of the offline commands, always with a remedy."""

from __future__ import annotations


class UserError(Exception):
    """An error that the user can fix, with its remedy in the message. Printed without a traceback, exit status 2."""
