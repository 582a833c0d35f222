"""The OpenAPI document against the real process: schemathesis sends valid and invalid requests to every route."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from harmgauge.auth.keys import new_key
from tests.support.process import RunningService, running_service
from tests.support.toy import instances, toy_bundle

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
SHAPE = (2, 2, 3)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_bundle(tmp_path_factory.mktemp("openapi"), shape=SHAPE)


@pytest.fixture(scope="module", params=["open", "keys"])
def service(request: pytest.FixtureRequest, bundle: Path) -> Iterator[RunningService]:
    """Two services: an open one, and one with keys, for which schemathesis sends no key half of the time."""
    if request.param == "open":
        with running_service(bundle) as found:
            yield found
    else:
        (key, line), (_, admin) = new_key("api"), new_key("admin")
        with running_service(bundle, api_keys=line, admin_keys=admin, client_key=key) as found:
            yield found


def test_every_route_keeps_to_its_document(service: RunningService) -> None:
    schema = schemathesis.openapi.from_dict(service.client.get("/openapi.json").json())
    base_url = f"http://127.0.0.1:{service.port}"
    key = dict(service.client.headers).get("authorization")
    x = instances(1, SHAPE)
    good = service.score(x)["scores"]
    asked = 0
    session = requests.Session()
    session.trust_env = False  # otherwise it looks for proxies and passwords before every request

    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()

        @settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=st.one_of(*(operation.as_strategy(mode) for mode in GenerationMode)))
        def ask(case: schemathesis.Case[Any]) -> None:
            nonlocal asked
            asked += 1
            if key is not None and asked % 2:
                case.headers["Authorization"] = key
            case.call_and_validate(base_url=base_url, session=session, checks=CHECKS)

        ask()
    session.close()
    assert asked > 100
    assert service.score(x)["scores"] == good
    assert not [line for line in service.log if "ERROR" in line or "Traceback" in line]
