"""The uvicorn internals that the service builds on: a version without one is rejected before anything is served."""

from __future__ import annotations

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from harmgauge.errors import SettingsError
from harmgauge.server.guarded import GuardedHttpProtocol
from harmgauge.server.protocol import check_uvicorn


def test_the_installed_version_fits() -> None:
    check_uvicorn()


def test_a_version_without_what_is_overridden_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(HttpToolsProtocol, "on_body")
    with pytest.raises(SettingsError, match=r"uvicorn [\d.]+ is not supported: HttpToolsProtocol has no on_body"):
        check_uvicorn()


def test_nothing_is_overridden_that_the_check_does_not_know() -> None:
    """A method that both we and uvicorn define may be renamed by uvicorn."""
    ours = {
        name for base in GuardedHttpProtocol.__mro__ for name in vars(base) if base.__module__.startswith("harmgauge")
    }
    both = {name for name in ours & set(vars(HttpToolsProtocol)) if callable(getattr(HttpToolsProtocol, name))}
    from harmgauge.server.protocol import _OVERRIDDEN

    assert both - {"__init__"} <= set(_OVERRIDDEN[HttpToolsProtocol])
