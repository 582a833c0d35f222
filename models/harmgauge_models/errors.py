"""What the offline commands refuse, always with the remedy."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can put right; the message says what and how. Printed without a traceback, exit status 2."""
