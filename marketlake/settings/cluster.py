"""Sections of clusters on Amazon EMR: how large, and how they are operated."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, model_validator

from marketlake.settings.section import Section

Deployed = Literal["dev", "staging", "prod"]


class ClusterSettings(Section):
    """Spark on a cluster: how large its processes are, and how many of them there may be."""

    min_executors: int = Field(1, ge=0)
    """Executors that stay when there is nothing to do."""
    max_executors: int = Field(8, ge=1)
    """Executors of one application at most."""
    executor_cores: int = Field(2, ge=1)
    """Tasks of an executor side by side, each with a Python worker."""
    executor_heap_mb: int = Field(1_792, ge=512)
    """Java's part of an executor."""
    executor_python_mb: int = Field(2_304, ge=384)
    """The rest of it: the Python workers, where the folds are, and Arrow."""
    driver_heap_mb: int = Field(1_024, ge=512)
    """Java's part of the driver, which plans and commits."""
    driver_python_mb: int = Field(1_024, ge=384)
    """The rest of it. With the defaults a driver and an executor are 6144 MB, what YARN has on an
    m5.large."""
    master_attempts: int = Field(4, ge=1, le=10)
    """How often YARN starts a driver in an hour, so that the stream survives the loss of a node."""
    glue_catalog: bool = False
    """Keep the catalog of tables in Glue. Tables need none: they are known by their paths."""

    @model_validator(mode="after")
    def _some_executors(self) -> ClusterSettings:
        if self.min_executors > self.max_executors:
            raise ValueError("min_executors is more than max_executors")
        return self


class EmrSettings(Section):
    """Clusters on Amazon EMR, for `marketlake emr`; what a cluster consists of is Terraform's."""

    name: str = Field("marketlake", pattern=r"^[a-z][a-z0-9]{1,15}$")
    """First part of every name, before the environment."""
    allowed: dict[Deployed, tuple[str, ...]] = Field(default_factory=dict)
    """By environment, where it may stand, each as `ACCOUNT/REGION`; elsewhere nothing is done."""
    owner: str = "data-platform"
    """Tag `owner` of everything."""
    cost_center: str = "market-data"
    """Tag `cost-center` of everything."""
    lock_s: int = Field(120, ge=3, le=3_600)
    """A lock of a deployment that was not renewed for so long is stale, and is taken over."""
    poll_s: float = Field(10.0, gt=0, le=60)
    """Time between two looks at a cluster or a step."""
    ready_s: int = Field(1_200, ge=1)
    """Longest wait for a cluster to be ready."""
    step_s: int = Field(600, ge=1)
    """Longest wait for the step of the smoke test."""
    drain_s: int = Field(900, ge=1)
    """Longest wait for a stream to end its batch; beyond it a release gives up and nothing has
    changed."""
    health_s: int = Field(600, ge=1)
    """Longest wait, after a release, for the stream to commit `health_batches`."""
    health_batches: int = Field(1, ge=0)
    """Batches that the new code has to commit, each with every message accounted for, before a
    release is good; with 0 it has to run for all of `health_s`."""
    idle_hours: float = Field(4.0, gt=0)
    """The weekly check names a cluster that ran no step for so long …"""
    age_days: float = Field(14.0, gt=0)
    """… and one that is older, so that it is replaced by one with the patches of today."""
    month_usd: float = Field(1_000.0, ge=0)
    """Most that a month may cost, as far as the weekly check goes."""
    encrypt_between_nodes: bool = True
    """Let EMR encrypt what passes between nodes; deploy makes the certificates for it."""
    certificate_days: int = Field(365, ge=60, le=825)
    """How long they are valid; a cluster keeps its own as long as it lives."""
    certificate_warn_days: int = Field(30, ge=1, le=59)
    """So long before their end `test` and the weekly check ask for another cluster, and a
    replacement gets new ones."""
    zeppelin_archive: str | None = Field(None, pattern=r"^s3://.+\.tgz$")
    """Where Zeppelin's archive was put, `s3://…/zeppelin-VERSION-bin-netinst.tgz`; nothing for a
    cluster without Zeppelin."""
    zeppelin_sha512: str | None = Field(None, pattern=r"^[0-9a-f]{128}$")
    """Its digest, as Apache publishes it."""

    @model_validator(mode="after")
    def _places(self) -> EmrSettings:
        if (self.zeppelin_archive is None) != (self.zeppelin_sha512 is None):
            raise ValueError("zeppelin_archive and zeppelin_sha512 come together")
        for stage, places in self.allowed.items():
            for place in places:
                if not re.fullmatch(r"\d{12}/[a-z]{2}(-[a-z]+)+-\d", place):
                    raise ValueError(f"allowed.{stage}: {place!r} is no ACCOUNT/REGION")
        return self
