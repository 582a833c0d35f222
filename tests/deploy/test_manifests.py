"""k8s/, checked by the schemas of three Kubernetes versions, by checkov, and for consistency between resources."""

from __future__ import annotations

import functools
import json
import os
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from harmgauge.bundle.load import load
from harmgauge.settings import Settings
from tests.conftest import ROOT, SHIPPED_BUNDLE
from tests.support.tools import linter, only, rendered, run

K8S = ROOT / "k8s"
OVERLAYS = ("cpu", "gpu")
COMPONENTS = ("bundle-claim", "bundle-image", "grpc", "keys", "tracing")
VERSIONS = ("1.32", "1.35", "1.37")


@functools.cache
def overlaid(overlay: str) -> list[dict[str, Any]]:
    """The resources of an overlay, for tests that only read them."""
    return rendered(K8S / "overlays" / overlay)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The resources of every overlay, alone and with every component; those that are alike come once."""
    folder, found = tmp_path_factory.mktemp("overlaid"), list[dict[str, Any]]()
    for overlay in OVERLAYS:
        components = [with_components(folder, overlay, component) for component in COMPONENTS]
        found += [resource for resources in (overlaid(overlay), *components) for resource in resources]
    return [resource for at, resource in enumerate(found) if resource not in found[:at]]


def with_components(folder: Path, overlay: str, *components: str) -> list[dict[str, Any]]:
    """An overlay with components, from a user's own kustomization."""
    k8s = Path(os.path.relpath(K8S, folder))
    kustomization = {
        "resources": [str(k8s / "overlays" / overlay)],
        "components": [str(k8s / "components" / component) for component in components],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return rendered(folder)


def test_a_bundles_image_is_named_as_the_docs_say(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "deploy.md").read_text()
    (patches,) = re.findall(r"```yaml\n(patches:\n.*?)```", text, re.DOTALL)
    with_components(tmp_path, "cpu", "bundle-image")
    file = tmp_path / "kustomization.yaml"
    file.write_text(file.read_text() + patches)
    volumes = pod_spec(rendered(tmp_path))["volumes"]
    (bundle,) = [volume for volume in volumes if volume["name"] == "bundle"]
    assert bundle["image"] == {"reference": "REGISTRY/harmgauge-bundle:1", "pullPolicy": "IfNotPresent"}


def pod_spec(resources: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = only(resources, "Deployment")["spec"]["template"]["spec"]
    return found


def variables(resources: list[dict[str, Any]]) -> dict[str, str]:
    """The variables that the container gets from the ConfigMap that it names."""
    config = only(resources, "ConfigMap")
    (source,) = pod_spec(resources)["containers"][0]["envFrom"]
    assert source["configMapRef"]["name"] == config["metadata"]["name"]
    found: dict[str, str] = config["data"]
    return found


def validate(resources: list[dict[str, Any]], version: str, folder: Path) -> None:
    file = folder / "resources.yaml"
    file.write_text(yaml.safe_dump_all(resources))
    done = run(linter("kubernetes-validate"), "--strict", "--kubernetes-version", version, file)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schemas_of_kubernetes_take_every_field(
    version: str, everything: list[dict[str, Any]], tmp_path: Path
) -> None:
    validate(everything, version, tmp_path)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The results of checkov, which takes seconds to start, for all overlays; each is in a folder of its name."""
    options = ["--framework", "kubernetes", "--skip-download", "--output", "json"]
    for overlay in OVERLAYS:
        folder = tmp_path_factory.mktemp("checked") / overlay
        folder.mkdir()
        resources = with_components(folder, overlay, "bundle-claim", "grpc", "keys", "tracing")
        (folder / "resources.yaml").write_text(yaml.safe_dump_all(resources))
        options += ["--file", str(folder / "resources.yaml")]
    results: dict[str, Any] = json.loads(run(linter("checkov"), *options).stdout)["results"]
    return results


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_checkov_finds_nothing_that_is_not_argued_in_place(overlay: str, found: dict[str, Any]) -> None:
    passed, failed, skipped = (
        [check for check in found[kind] if Path(check["file_abs_path"]).parent.name == overlay]
        for kind in ("passed_checks", "failed_checks", "skipped_checks")
    )
    assert len(passed) > 80
    assert [check["check_id"] for check in failed] == []
    assert {check["check_id"] for check in skipped} == {"CKV_K8S_15", "CKV_K8S_35", "CKV_K8S_43"}
    assert all(len(check["check_result"]["suppress_comment"]) > 40 for check in skipped)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_that_goes_has_time_to_drain(overlay: str) -> None:
    resources = overlaid(overlay)
    spec = pod_spec(resources)
    pre_stop = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = float(variables(resources)["HARMGAUGE_DRAIN_SECONDS"])
    assert pre_stop + drain + 5 <= spec["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_selector_takes_the_pods(overlay: str) -> None:
    resources = overlaid(overlay)
    deployment = only(resources, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels
    assert only(resources, "Service")["spec"]["selector"].items() <= labels
    assert only(resources, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"].items() <= labels
    assert only(resources, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items() <= labels
    for spread in pod_spec(resources)["topologySpreadConstraints"]:
        assert spread["labelSelector"]["matchLabels"].items() <= labels
    target = only(resources, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
    assert "replicas" not in deployment["spec"]  # set by the autoscaler: an apply must not undo it
    assert pod_spec(resources)["serviceAccountName"] == only(resources, "ServiceAccount")["metadata"]["name"]


def test_the_network_admits_clients_and_prometheus_and_lets_out_names_only(tmp_path: Path) -> None:
    policy = only(with_components(tmp_path, "cpu", "grpc"), "NetworkPolicy")["spec"]
    clients, prometheus = policy["ingress"]
    assert clients == {"from": [{"podSelector": {}}], "ports": [{"port": "http"}, {"port": "grpc"}]}
    assert prometheus["from"][0]["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "prometheus"}
    assert prometheus["ports"] == [{"port": "http"}]
    (dns,) = policy["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    assert dns["to"][0]["podSelector"]["matchLabels"] == {"k8s-app": "kube-dns"}


def test_traces_may_leave_to_where_they_are_sent(tmp_path: Path) -> None:
    resources = with_components(tmp_path, "cpu", "tracing")
    endpoint = httpx.URL(variables(resources)["OTEL_EXPORTER_OTLP_ENDPOINT"])
    _, collector = only(resources, "NetworkPolicy")["spec"]["egress"]
    (peer,) = collector["to"]
    assert endpoint.host.partition(".")[2] == peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
    assert [port["port"] for port in collector["ports"]] == [endpoint.port]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_variable_is_a_setting_of_the_service(overlay: str, tmp_path: Path) -> None:
    found = variables(with_components(tmp_path, overlay, *COMPONENTS))
    names = [name.removeprefix("HARMGAUGE_").lower() for name in found if name.startswith("HARMGAUGE_")]
    assert {"bundle", "grpc_port", "state_dir"} <= set(names) <= set(Settings.model_fields)
    mounts = {mount["mountPath"] for mount in pod_spec(rendered(tmp_path))["containers"][0]["volumeMounts"]}
    assert {found["HARMGAUGE_STATE_DIR"], "/bundle", "/bundles"} <= mounts


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_keys_close_what_the_base_opens(overlay: str, tmp_path: Path) -> None:
    assert variables(overlaid(overlay))["HARMGAUGE_OPEN"] == "all"
    resources = with_components(tmp_path, overlay, "keys")
    found = variables(resources)
    assert found["HARMGAUGE_OPEN"] == ""
    (mount,) = (mount for mount in pod_spec(resources)["containers"][0]["volumeMounts"] if mount["name"] == "keys")
    assert "subPath" not in mount
    for kind in ("API", "METRICS"):
        assert Path(found[f"HARMGAUGE_{kind}_KEYS_FILE"]).parent == Path(mount["mountPath"])


def test_a_gpu_is_asked_for_and_the_cpu_is_no_way_out() -> None:
    resources = overlaid("gpu")
    (container,) = pod_spec(resources)["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert variables(resources)["HARMGAUGE_PROVIDERS"] == "cuda"
    (metric,) = only(resources, "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == "harmgauge_queue_rows"


def test_kserves_example_serves_the_shipped_bundle_under_its_name(tmp_path: Path) -> None:
    service = yaml.safe_load((K8S / "examples" / "inference-service.yaml").read_text())
    assert service["metadata"]["name"] == load(SHIPPED_BUNDLE).manifest.name
    own = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget"}
    predictor = service["spec"]["predictor"]
    assert own <= set(predictor) <= _kserves_fields()
    # The rest is a Pod spec, the same as in the overlay except for probes in the protocol's terms.
    spec = {name: value for name, value in predictor.items() if name not in own}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "predictor"}, "spec": spec}
    validate([pod], VERSIONS[-1], tmp_path)
    overlay = pod_spec(overlaid("cpu"))
    for field in ("securityContext", "terminationGracePeriodSeconds", "volumes"):
        assert spec[field] == overlay[field]
    for field in ("image", "lifecycle", "resources", "securityContext", "volumeMounts"):
        assert spec["containers"][0][field] == overlay["containers"][0][field]


def _kserves_fields() -> set[str]:
    """The fields of a predictor that KServe's own client supports."""
    python = ROOT / ".venv-kserve" / "bin" / "python"
    if not python.exists():
        if os.environ.get("CI"):
            pytest.fail("CI must have KServe's client: make install-kserve")
        pytest.skip("KServe's client is not installed: make install-kserve")
    script = "import json, kserve; print(json.dumps([*kserve.V1beta1PredictorSpec.attribute_map.values()]))"
    done = run(python, "-c", script)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))
