"""Settings from the environment: typed, bounded, and typing errors are reported."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from harmgauge.errors import SettingsError
from harmgauge.settings import Settings, load
from tests.conftest import SHIPPED_BUNDLE


def test_defaults_and_every_setting_says_what_it_decides() -> None:
    settings = load({"PATH": "/bin", "HARMGAUGE_PORT": ""})
    assert (settings.host, settings.port, settings.bundle) == ("127.0.0.1", 8000, SHIPPED_BUNDLE)
    assert settings.window_rows is None
    assert all(field.description for field in Settings.model_fields.values())
    with pytest.raises(ValidationError):
        settings.port = 1


def test_the_environment_overrides() -> None:
    settings = load(
        {
            "HARMGAUGE_BUNDLE": "a/b",
            "HARMGAUGE_PORT": "9",
            "HARMGAUGE_WINDOW_ROWS": "50",
            "HARMGAUGE_DEADLINE_SECONDS": ".5",
        }
    )
    assert (settings.bundle, settings.port, settings.window_rows, settings.deadline_seconds) == (
        Path("a/b"),
        9,
        50,
        0.5,
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PORT", "eighty", "HARMGAUGE_PORT='eighty': Input should be a valid integer"),
        ("PORT", "70000", "less than or equal to 65535"),
        ("WINDOW_ROWS", "0", "HARMGAUGE_WINDOW_ROWS='0': Input should be greater than or equal to 2"),
        ("ROWS_BETWEEN_FALSE_ALARMS", "-5", "greater than or equal to 1"),
        ("MAX_BODY_BYTES", "0", "greater than or equal to 1"),
        ("DEADLINE_SECONDS", "nan", "a finite number"),
        ("DRAIN_SECONDS", "inf", "a finite number"),
        ("MAX_BATCH_ROWS", "100000000", "less than or equal to 65536"),
        ("WINDOW_ROWS", "2000000000", "less than or equal to 1000000"),
        ("PROVIDERS", "gpu", "'cpu', 'cuda' or 'tensorrt'"),
        ("MAX_QUEUE_ROW", "5", "is not a setting; did you mean HARMGAUGE_MAX_QUEUE_ROWS?"),
        ("API_KEY", "secret", "is not a setting; did you mean HARMGAUGE_API_KEYS?"),
    ],
)
def test_nonsense_is_refused_by_name(name: str, value: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message.replace("?", r"\?")):
        load({f"HARMGAUGE_{name}": value})


def test_what_kubernetes_adds_is_no_setting() -> None:
    """A Service called harmgauge adds these to every pod of its namespace."""
    settings = load(
        {
            "HARMGAUGE_PORT": "tcp://10.96.0.7:8000",
            "HARMGAUGE_SERVICE_HOST": "10.96.0.7",
            "HARMGAUGE_SERVICE_PORT": "8000",
            "HARMGAUGE_SERVICE_PORT_HTTP": "8000",
            "HARMGAUGE_PORT_8000_TCP": "tcp://10.96.0.7:8000",
            "HARMGAUGE_PORT_8000_TCP_ADDR": "10.96.0.7",
            "HARMGAUGE_CPU_SERVICE_HOST": "10.96.0.8",
        }
    )
    assert settings.port == 8000
