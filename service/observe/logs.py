"""How the service logs: one line an event, on standard error."""

from __future__ import annotations

import logging


def configure(level: str) -> None:
    """Set up logging for the process; uvicorn's own lines go the same way."""
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", force=True)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
