"""Environments, applied for real against an emulator of AWS, side by side with other tests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import localstack_client.session

from marketlake.emr.configurations import as_json, cluster_configurations
from marketlake.emr.provider_mirror import provider_mirror
from marketlake.emr.terraform import Terraform
from marketlake.settings import environment
from marketlake.settings.model import load_settings
from tests.local_servers import wait_for
from tests.marketlake.emr.places import SIDE_BY_SIDE

CODE = Path(__file__).parents[2] / "infrastructure" / "terraform"
REGION = "eu-west-1"
ACCOUNT = "123456789012"
TAGS = {"owner": "tests", "cost-center": "none"}


@dataclass(frozen=True)
class Emulator:
    """A running emulator of AWS."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def variables(self) -> dict[str, str]:
        """Environment by which the AWS tools find it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            **SIDE_BY_SIDE,
        }

    def client(self, service: str) -> Any:
        """A client of localstack's session, which all tests of deployments use."""
        session = localstack_client.session.Session(
            localstack_host=f"127.0.0.1:{self.port}", region_name=REGION
        )
        return session.client(service)


@contextmanager
def emulator(port: int, log: Path):
    """Run it until the block ends."""
    command = [sys.executable, "-m", "tests.infrastructure.aws_emulator", "--port", str(port)]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=CODE.parents[1],
            stdout=out,
            stderr=out,
            env=os.environ | {"PYTHONPATH": "."},
        )
    try:
        wait_for(port, process)
        yield Emulator(port)
    finally:
        process.terminate()
        process.wait()


def working_copy(folder: Path) -> Path:
    """Copy the code of Terraform, its links followed, so that nothing is left in the checkout."""
    shutil.copytree(
        CODE, folder, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*", "*.auto.tfvars*")
    )
    return folder


def root(copy: Path, emulated: Emulator, stage: str, name: str, **variables: Any) -> Terraform:
    """Give one root of an environment, initialised, with the variables of a deployment."""
    folder = copy / "envs" / stage / name
    common = {"region": REGION, "tags": TAGS, "emulated": True}
    (folder / "deploy.auto.tfvars.json").write_text(json.dumps(common | variables))
    terraform = Terraform(folder, variables=emulated.variables | provider_cache())
    terraform.init()
    return terraform


def provider_cache() -> dict[str, str]:
    """Variables by which the provider is fetched once; a mirror on the disk is used as it is."""
    if provider_mirror() is not None:
        return {}
    cache = environment.cache_dir() / "terraform"
    cache.mkdir(parents=True, exist_ok=True)
    return {"TF_PLUGIN_CACHE_DIR": str(cache)}


def cluster_variables(outputs: Mapping[str, Any], work: Path) -> dict[str, Any]:
    """What the deploy command tells the cluster's root of the data, and of the artifacts."""
    artifacts = f"s3://{outputs['artifacts_bucket']}"
    file = work / "configurations.json"
    file.write_text(as_json(cluster_configurations(load_settings())))
    return {
        **outputs,
        "environment_archive": f"{artifacts}/environments/{'0' * 64}.tar.gz",
        "application_archive": f"{artifacts}/applications/{'1' * 64}.tar.gz",
        "bootstrap_prefix": f"{artifacts}/bootstrap/{'2' * 64}",
        "bootstrap_actions": [{"name": "environment.sh", "args": ["one"]}, {"name": "gpu.sh"}],
        "configurations_file": str(file),
    }


def identities(root: Terraform) -> dict[tuple[str, str], str]:
    """Give the id of each resource that the state of a root holds, by its type and address."""
    return {
        (resource["type"], where): str(instance["attributes"].get("id"))
        for resource in root.state()["resources"]
        if resource["mode"] == "managed"
        for where, instance in _instances(resource)
    }


def without(state: Mapping[str, Any], lost: Callable[[str, str], bool]) -> dict[str, Any]:
    """Give a state without what is lost, by its type and address, as a kill leaves it."""
    kept = []
    for resource in state["resources"]:
        instances = [
            instance
            for where, instance in _instances(resource)
            if resource["mode"] != "managed" or not lost(resource["type"], where)
        ]
        if instances:
            kept.append({**resource, "instances": instances})
    return {**state, "resources": kept, "serial": state["serial"] + 1}


def _instances(resource: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    place = ".".join(filter(None, (resource.get("module"), resource["type"], resource["name"])))
    return [
        (f"{place}[{json.dumps(item['index_key'])}]" if "index_key" in item else place, item)
        for item in resource["instances"]
    ]


def in_background(work: Callable[[], Any]) -> Future[Any]:
    """Run it beside the tests; whoever asks for the result waits for it."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - whoever waits gets it
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
