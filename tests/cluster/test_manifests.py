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
AUTOSCALED = ("aws.yaml", "gcp.yaml")
KUBERAY = ("kuberay.yaml", "rayjob.yaml")
EXTRAS = "pip install {} -c constraints.txt -e '.[audio,text,vision,cluster]'"
COMPOSE = {
    "type": "object",
    "required": ["name", "services"],
    "patternProperties": {"^x-": {}},
    "properties": {
        "name": {"type": "string"},
        "services": {
            "additionalProperties": {
                "type": "object",
                "required": ["image", "command"],
                "additionalProperties": False,
                "properties": {
                    "image": {"type": "string"},
                    "build": {
                        "type": "object",
                        "properties": {"context": {}, "dockerfile": {}, "args": {"type": "object"}},
                        "additionalProperties": False,
                    },
                    "command": {"type": "string"},
                    "network_mode": {"enum": ["host", "bridge", "none"]},
                    "ipc": {"enum": ["private", "host", "shareable"]},
                    "shm_size": {"type": "string", "pattern": "^[0-9]+[kmg]b$"},
                    "restart": {"enum": ["no", "always", "on-failure", "unless-stopped"]},
                    "environment": {"type": "object"},
                    "profiles": {"type": "array", "items": {"type": "string"}},
                    "secrets": {"type": "array", "items": {"type": "string"}},
                    "volumes": {"type": "array", "items": {"type": "string", "pattern": ":/"}},
                },
            }
        },
        "secrets": {
            "additionalProperties": {
                "type": "object",
                "required": ["file"],
                "properties": {"file": {"type": "string"}},
                "additionalProperties": False,
            }
        },
    },
    "additionalProperties": False,
}
"""What this file uses of the Compose Specification."""


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


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((CLUSTER / name).read_text())


def crd(manifest: dict[str, Any]) -> dict[str, Any]:
    path = CRDS / f"ray.io_{manifest['kind'].lower()}s.yaml.gz"
    if not path.exists():
        pytest.skip(f"KubeRay's definitions are not at {path}")
    definition = yaml.load(gzip.decompress(path.read_bytes()), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    [version] = [v for v in definition["spec"]["versions"] if f"ray.io/{v['name']}" == manifest["apiVersion"]]
    schema = strict(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}  # Kubernetes itself checks it
    return schema


def ray_cluster(name: str) -> dict[str, Any]:
    """The cluster that a manifest makes."""
    spec = read(name)["spec"]
    return spec.get("rayClusterSpec", spec)


def pinned() -> str:
    found = re.search(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert found
    return found[1]


@pytest.mark.parametrize("name", AUTOSCALED)
def test_autoscaler_yaml_fits_rays_schema(name):
    jsonschema.validate(read(name), ray_schema())


@pytest.mark.parametrize("name", AUTOSCALED)
def test_autoscaler_yaml_starts_all_workers_and_no_more(name):
    wanted = read(name)
    types = wanted["available_node_types"]
    assert wanted["head_node_type"] == "head"
    assert sum(t.get("min_workers", 0) for t in types.values()) == wanted["max_workers"] == 2


@pytest.mark.parametrize("name", KUBERAY)
def test_manifest_fits_kuberays_definition(name):
    jsonschema.validate(read(name), crd(read(name)))


@pytest.mark.parametrize("name", KUBERAY)
def test_a_misspelt_key_in_the_manifest_is_found(name):
    broken = copy.deepcopy(read(name))
    spec = broken["spec"].get("rayClusterSpec", broken["spec"])
    spec["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["resource"] = {}
    with pytest.raises(jsonschema.ValidationError, match="'resource' was unexpected"):
        jsonschema.validate(broken, crd(broken))


def test_compose_file_has_the_structure_of_one():
    jsonschema.validate(read("compose.yaml"), COMPOSE)


def test_a_compose_file_is_for_a_head_and_for_others():
    services = read("compose.yaml")["services"]
    assert {name: service["profiles"] for name, service in services.items()} == {"head": ["head"], "worker": ["worker"]}
    assert "ray start --head --node-ip-address=${HEAD:?" in services["head"]["command"]
    assert "ray start --address=${HEAD:?" in services["worker"]["command"]
    assert any(volume.endswith(":/home/ray/raysim/results") for volume in services["head"]["volumes"])


def test_the_token_is_asked_for_everywhere():
    for name in AUTOSCALED:
        assert "--env RAY_AUTH_MODE=token" in read(name)["docker"]["run_options"]
    for name in KUBERAY:
        assert ray_cluster(name)["authOptions"] == {"mode": "token"}
    for service in read("compose.yaml")["services"].values():
        assert service["environment"]["RAY_AUTH_MODE"] == "token"
        assert service["environment"]["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/token"
    assert "export RAY_AUTH_MODE=token RAY_AUTH_TOKEN\n" in (CLUSTER / "slurm.sbatch").read_text()


def test_the_dashboard_is_not_reached_from_outside():
    for name in AUTOSCALED:
        [start] = [c for c in read(name)["head_start_ray_commands"] if "--head" in c]
        assert "--dashboard-host=127.0.0.1" in start
        assert "security_group" not in read(name)["provider"]
    for name in KUBERAY:
        assert ray_cluster(name)["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert ray_cluster("kuberay.yaml")["headGroupSpec"]["rayStartParams"]["dashboard-host"] == "127.0.0.1"
    assert "--dashboard-host=127.0.0.1" in read("compose.yaml")["services"]["head"]["command"]
    assert "--include-dashboard=false" in (CLUSTER / "slurm.sbatch").read_text()


def test_heads_without_gpus_train_nobody():
    for name in AUTOSCALED:
        [start] = [c for c in read(name)["head_start_ray_commands"] if "--head" in c]
        assert "--num-cpus=0" in start
        assert read(name)["available_node_types"]["head"]["resources"] == {"CPU": 0}
    for name in KUBERAY:
        assert ray_cluster(name)["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_results_on_kubernetes_outlive_the_pods():
    claim = read("volume.yaml")
    assert (claim["apiVersion"], claim["kind"]) == ("v1", "PersistentVolumeClaim")
    for name in KUBERAY:
        head = ray_cluster(name)["headGroupSpec"]["template"]["spec"]
        [volume] = head["volumes"]
        assert volume["persistentVolumeClaim"] == {"claimName": claim["metadata"]["name"]}
        [container] = head["containers"]
        assert container["volumeMounts"] == [{"name": volume["name"], "mountPath": "/data"}]
        assert {"name": "RAYSIM_CACHE", "value": "/data/cache"} in container["env"]
    assert "out=/data/results/" in read("rayjob.yaml")["spec"]["entrypoint"]


def test_job_and_cluster_are_alike_but_for_the_dashboard():
    job, alone = ray_cluster("rayjob.yaml"), ray_cluster("kuberay.yaml")
    del alone["headGroupSpec"]["rayStartParams"]["dashboard-host"]  # the operator asks a job's for its state
    assert job == alone


def test_one_version_of_ray():
    image = f"rayproject/ray:{pinned()}-py311-gpu"
    for name in AUTOSCALED:
        assert read(name)["docker"]["image"] == image
    assert f"\nARG IMAGE={image}\nFROM ${{IMAGE}}\n" in (CLUSTER / "Dockerfile").read_text()
    for name in KUBERAY:
        assert ray_cluster(name)["rayVersion"] == pinned()
    for service in read("compose.yaml")["services"].values():
        assert service["build"]["args"]["IMAGE"] == f"${{IMAGE:-rayproject/ray:{pinned()}-py311-cpu}}"


def test_nodes_have_the_extras():
    for name in AUTOSCALED:
        assert f"cd ~/raysim && {EXTRAS.format('--quiet')}" in read(name)["setup_commands"]
    assert f"RUN {EXTRAS.format('--no-cache-dir')}\n" in (CLUSTER / "Dockerfile").read_text()


def test_the_page_names_every_file():
    page = (CLUSTER / "README.md").read_text()
    assert [path.name for path in sorted(CLUSTER.iterdir()) if path.name != "README.md" and path.name not in page] == []
