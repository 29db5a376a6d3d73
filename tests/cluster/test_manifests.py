import copy
import gzip
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
CRDS = ROOT / "../shared/data/kuberay_crds"


def strict(schema: Any) -> Any:
    """The schema with unknown keys as errors, as `kubectl --validate=strict` has it."""
    if isinstance(schema, list):
        return [strict(s) for s in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "type" in schema:
        closed.setdefault("additionalProperties", "x-kubernetes-preserve-unknown-fields" in schema)
    return closed


def ray_schema() -> dict[str, Any]:
    spec = importlib.util.find_spec("ray")
    assert spec is not None
    assert spec.submodule_search_locations
    return json.loads((Path(spec.submodule_search_locations[0]) / "autoscaler/ray-schema.json").read_text())


@pytest.fixture
def aws() -> dict[str, Any]:
    return yaml.safe_load((CLUSTER / "aws.yaml").read_text())


@pytest.fixture
def kuberay() -> dict[str, Any]:
    return yaml.safe_load((CLUSTER / "kuberay.yaml").read_text())


@pytest.fixture
def crd(kuberay) -> dict[str, Any]:
    path = CRDS / f"ray.io_{kuberay['kind'].lower()}s.yaml.gz"
    if not path.exists():
        pytest.skip(f"KubeRay's definitions are not at {path}")
    definition = yaml.load(gzip.decompress(path.read_bytes()), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    [version] = [v for v in definition["spec"]["versions"] if f"ray.io/{v['name']}" == kuberay["apiVersion"]]
    schema = strict(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}  # Kubernetes itself checks it
    return schema


def test_autoscaler_yaml_fits_rays_schema(aws):
    jsonschema.validate(aws, ray_schema())


def test_autoscaler_yaml_starts_all_workers_and_no_more(aws):
    types = aws["available_node_types"]
    assert aws["head_node_type"] == "head"
    assert sum(t.get("min_workers", 0) for t in types.values()) == aws["max_workers"] == 2


def test_manifest_fits_kuberays_definition(kuberay, crd):
    jsonschema.validate(kuberay, crd)


def test_a_misspelt_key_in_the_manifest_is_found(kuberay, crd):
    broken = copy.deepcopy(kuberay)
    broken["spec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["resource"] = {}
    with pytest.raises(jsonschema.ValidationError, match="'resource' was unexpected"):
        jsonschema.validate(broken, crd)


def test_the_token_is_asked_for_everywhere(aws, kuberay):
    assert "--env RAY_AUTH_MODE=token" in aws["docker"]["run_options"]
    assert kuberay["spec"]["authOptions"] == {"mode": "token"}


def test_the_dashboard_stays_on_loopback(aws, kuberay):
    [start] = [c for c in aws["head_start_ray_commands"] if "--head" in c]
    assert "--dashboard-host=127.0.0.1" in start
    assert "security_group" not in aws["provider"]
    assert kuberay["spec"]["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert kuberay["spec"]["headGroupSpec"]["rayStartParams"] == {"dashboard-host": "127.0.0.1"}


def test_one_version_of_ray(aws, kuberay):
    pinned = re.search(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned
    image = f"rayproject/ray:{pinned[1]}-py311-gpu"
    assert aws["docker"]["image"] == image
    assert f"\nFROM {image}\n" in (CLUSTER / "Dockerfile").read_text()
    assert kuberay["spec"]["rayVersion"] == pinned[1]
