"""The pool on Kubernetes: made on a real Prefect server, and what its worker would send is a job of Kubernetes."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import PrefectHTTPStatusError

from tests.support.compose_file import ROOT
from tests.support.containerfile import read_stages
from tests.support.real_settings import unreal

FOLDER = ROOT / "deployments" / "kubernetes"
TEMPLATE = FOLDER / "gpu-pool.json"
KUBERNETES = "1.31"  # and what is in it stays valid in later ones
POOL = "gpu-k8s"

Manifest = dict[str, Any]


@flow
def look() -> None:
    """Stand in for a flow: it is never run."""


@pytest.fixture(scope="module")
def client(server_environment: Mapping[str, str]) -> Iterator[SyncPrefectClient]:
    """A client of the server, with the pool made by Prefect's command as make-pool.sh has it."""
    script = (FOLDER / "make-pool.sh").read_text(encoding="utf-8")
    (line,) = [line for line in script.splitlines() if line.startswith("prefect ")]
    subprocess.run([sys.executable, "-m", *line.split()], cwd=FOLDER, env={**server_environment}, check=True)
    with get_client(sync_client=True) as client:
        yield client
        client.delete_work_pool(POOL)


def planned(client: SyncPrefectClient, name: str, variables: dict[str, Any]) -> FlowRun:
    flow_id = client.create_flow(look)
    deployment = client.create_deployment(flow_id, name, work_pool_name=POOL, job_variables=variables)
    return client.create_flow_run_from_deployment(deployment)


def rendered(run: FlowRun, template: Manifest | None = None) -> Manifest:
    """Return the job that the pool's worker would send to the cluster for a run."""
    return asyncio.run(_rendered(run, template))


async def _rendered(run: FlowRun, template: Manifest | None) -> Manifest:
    from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration  # seconds, which the other processes save

    async with get_client() as client:
        pool = await client.read_work_pool(POOL)
        if template is not None:
            pool.base_job_template = template
        job = await KubernetesWorkerJobConfiguration.resolve_for_flow_run(
            run, client=client, work_pool=pool, worker_name="worker"
        )
    return job.job_manifest


def valid(manifest: Manifest) -> Manifest:
    kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    return manifest


def container_of(manifest: Manifest) -> Manifest:
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    return container


def test_a_run_becomes_a_job_with_a_gpu(client: SyncPrefectClient) -> None:
    job = valid(rendered(planned(client, "plain", {})))
    pod, container = job["spec"]["template"]["spec"], container_of(job)
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert container["resources"]["requests"]["nvidia.com/gpu"] == 1
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert pod["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert job["metadata"]["namespace"] == "reelsift"
    assert (job["spec"]["backoffLimit"], job["spec"]["ttlSecondsAfterFinished"]) == (0, 3600)
    assert "priorityClassName" not in pod
    assert container["args"] == ["prefect", "flow-run", "execute"]


def test_a_deployment_says_what_its_jobs_get(client: SyncPrefectClient) -> None:
    wanted = {"gpus": 2, "shared_memory": "8Gi", "memory_limit": "64Gi", "env": {"REELSIFT_MIRROR": "eu"}}
    job = valid(rendered(planned(client, "large", wanted)))
    container = container_of(job)
    assert container["resources"]["limits"] == {"memory": "64Gi", "nvidia.com/gpu": 2}
    assert {"name": "REELSIFT_MIRROR", "value": "eu"} in container["env"]
    volumes = {volume["name"]: volume for volume in job["spec"]["template"]["spec"]["volumes"]}
    assert volumes["shared-memory"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "8Gi"}


@pytest.mark.parametrize(
    "variables",
    [{"gpus": 0}, {"gpus": "all"}, {"tolerations": "any"}, {"deadline_seconds": 1}],
    ids=["no-gpu", "gpus-in-words", "no-list", "no-time"],
)
def test_the_server_refuses_what_no_job_can_be_made_of(client: SyncPrefectClient, variables: dict[str, Any]) -> None:
    with pytest.raises(PrefectHTTPStatusError, match="422"):
        planned(client, "wrong", variables)


def test_the_job_fits_the_image_and_the_cluster(client: SyncPrefectClient) -> None:
    """User, home, secret and account are those of the image and of cluster.yaml."""
    job = rendered(planned(client, "fits", {}))
    pod, container = job["spec"]["template"]["spec"], container_of(job)
    there = {(each["kind"], each["metadata"]["name"]): each for each in cluster()}
    image = read_stages((ROOT / "deployments" / "Containerfile").read_text(encoding="utf-8"))["cpu"]
    user = pod["securityContext"]
    assert image.all("USER") == [f"{user['runAsUser']}:{user['runAsGroup']}"]
    assert user["runAsNonRoot"] is True
    assert ("ServiceAccount", pod["serviceAccountName"]) in there
    (home,) = [volume for volume in pod["volumes"] if volume["name"] == "home"]
    claim = there["PersistentVolumeClaim", home["persistentVolumeClaim"]["claimName"]]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert {"name": "home", "mountPath": image.environment["REELSIFT_HOME"]} in container["volumeMounts"]
    worker = container_of(there["Deployment", "reelsift-worker"])
    assert container["envFrom"] == worker["envFrom"]


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        (("resources", "limits", "nvidia.com/gpu"), ["{{ gpus }}"], "not valid under any|is not of type"),
        (("securityContext", "runAsRoot"), False, "'runAsRoot' was unexpected"),
        (("volumeMounts",), {"name": "home"}, "is not of type"),
    ],
    ids=["gpus-of-another-form", "unknown-field", "no-list"],
)
def test_a_broken_template_makes_no_valid_job(
    client: SyncPrefectClient, place: tuple[str, ...], value: Any, told: str
) -> None:
    template = json.loads(TEMPLATE.read_text(encoding="utf-8"))
    *folders, last = place
    inner = container_of(template["job_configuration"]["job_manifest"])
    for folder in folders:
        inner = inner[folder]
    inner[last] = value
    run = planned(client, "broken", {})
    with pytest.raises(kubernetes_validate.ValidationError, match=told):
        valid(rendered(run, template))


def cluster() -> list[Manifest]:
    return list(yaml.safe_load_all((FOLDER / "cluster.yaml").read_text(encoding="utf-8")))


@pytest.mark.parametrize("manifest", cluster(), ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_what_the_cluster_needs_is_valid(manifest: Manifest) -> None:
    kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    with pytest.raises(kubernetes_validate.ValidationError, match="unexpected"):
        kubernetes_validate.validate({**manifest, "sepc": {}}, KUBERNETES, strict=True)


def test_the_workers_variables_are_real() -> None:
    example = (FOLDER / "pool.env.example").read_text(encoding="utf-8")
    secret = [line.partition("=")[0] for line in example.splitlines() if line and not line.startswith("#")]
    (deployment,) = [each for each in cluster() if each["kind"] == "Deployment"]
    own = {each["name"]: each["value"] for each in container_of(deployment)["env"]}
    assert unreal([*secret, *own]) == []
    assert own["PREFECT_INTEGRATIONS_KUBERNETES_WORKER_API_AUTH_STRING_SECRET_KEY"] in secret


@pytest.mark.parametrize(
    "script", ["kubernetes/make-pool.sh", "containers/create-databases.sh"], ids=lambda path: Path(path).stem
)
def test_scripts_are_of_the_shell(script: str) -> None:
    subprocess.run(["sh", "-n", str(ROOT / "deployments" / script)], check=True)
    assert os.access(ROOT / "deployments" / script, os.X_OK)


def test_without_its_file_of_passwords_no_pool_is_made(tmp_path: Path) -> None:
    script = tmp_path / "make-pool.sh"
    script.write_bytes((FOLDER / "make-pool.sh").read_bytes())
    environment = {"PATH": os.environ["PATH"], "PREFECT_API_URL": "http://127.0.0.1:9/api"}
    run = subprocess.run(["sh", str(script)], env=environment, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (1, "error: no pool.env here; copy pool.env.example and fill it in\n")
