"""Two environments of Terraform, applied side by side with the other tests of this folder.

Most of an apply is waiting, so it begins with the first test here, and the last ones ask for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from marketlake.emr.errors import EmrError
from marketlake.emr.provider_mirror import provider_mirror
from marketlake.emr.terraform import Terraform
from marketlake.emr.terraform_process import terraform_program
from tests.infrastructure import deployments
from tests.infrastructure.deployments import Emulator
from tests.local_servers import free_port


@dataclass
class Deployed:
    """An environment that was applied twice.

    Attributes
    ----------
    again
        What the second plan would do, by root: nothing, that is.
    """

    emulator: Emulator
    roots: dict[str, Terraform]
    outputs: dict[str, dict[str, Any]]
    again: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass
class Campaign:
    """What goes on in the background."""

    emulator: Emulator
    dev: Future[Deployed]
    staging: Future[Deployed]


@pytest.fixture(scope="session")
def terraform_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code that Terraform may write into; skips where there is no Terraform."""
    if terraform_program() is None:
        pytest.skip("no terraform on PATH")
    copy = deployments.working_copy(tmp_path_factory.mktemp("terraform") / "code")
    tried = Terraform(copy, variables=deployments.provider_cache())
    try:
        tried.init()
    except EmrError as error:
        if "registry" in str(error) and provider_mirror() is None:
            pytest.skip(f"no provider of AWS: {error}")
        raise
    if tried.note:
        print(tried.note)
    return copy


@pytest.fixture(scope="session", autouse=True)
def campaign(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Campaign | None]:
    """Begin to apply, where any test of this folder will ask for it."""
    wanted = any("environment" in item.fixturenames for item in request.session.items)
    if not wanted or terraform_program() is None:
        yield None
        return
    copy = request.getfixturevalue("terraform_code")
    work = tmp_path_factory.mktemp("campaign")
    port = free_port()
    with deployments.emulator(port, work / "emulator.log") as running:
        yield Campaign(
            running,
            deployments.in_background(lambda: _dev(copy, running, work)),
            deployments.in_background(lambda: _staging(copy, running, work)),
        )


def _dev(copy: Path, running: Emulator, work: Path) -> Deployed:
    """All of it, with the defaults."""
    data = deployments.root(copy, running, "dev", "data")
    outputs = {"data": _applied(data)}
    variables = deployments.cluster_variables(outputs["data"], work)
    cluster = deployments.root(copy, running, "dev", "cluster", **variables)
    outputs["cluster"] = _applied(cluster)
    roots = {"data": data, "cluster": cluster}
    return Deployed(running, roots, outputs, {name: it.plan() for name, it in roots.items()})


def _staging(copy: Path, running: Emulator, work: Path) -> Deployed:
    """A cluster with what the default leaves out; its data are names only."""
    name = "marketlake-staging"
    buckets = {
        f"{use}_bucket": f"{name}-{deployments.ACCOUNT}-{use}"
        for use in ("lake", "artifacts", "logs", "backup")
    }
    place = f"{deployments.REGION}:{deployments.ACCOUNT}"
    data = {
        **buckets,
        "lake_uri": f"s3a://{buckets['lake_bucket']}/lake",
        "kms_key_arn": f"arn:aws:kms:{place}:key/00000000-0000-0000-0000-000000000000",
        "stream_names": {"trade": f"{name}-market.trades"},
        "stream_arns": {"trade": f"arn:aws:kinesis:{place}:stream/{name}-market.trades"},
    }
    variables = deployments.cluster_variables(data, work) | {
        "scaling": "custom",
        "gpu_task_group": True,
        "zones": 2,
        "alarm_email": "someone@example.com",
    }
    cluster = deployments.root(copy, running, "staging", "cluster", **variables)
    outputs = {"cluster": _applied(cluster)}
    return Deployed(running, {"cluster": cluster}, outputs, {"cluster": cluster.plan()})


def _applied(root: Terraform) -> dict[str, Any]:
    root.plan()
    root.apply()
    return root.outputs()


@pytest.fixture(scope="session")
def environment(campaign: Campaign | None) -> Deployed:
    """Environment dev, when it is there."""
    if campaign is None:
        pytest.skip("no terraform on PATH")
    return campaign.dev.result(timeout=550)


@pytest.fixture(scope="session")
def other_environment(campaign: Campaign | None, environment: Deployed) -> Deployed:
    """Environment staging, when it is there."""
    if campaign is None:
        pytest.skip("no terraform on PATH")
    return campaign.staging.result(timeout=550)
