"""One environment in one account and region: where its state, its lock and its files are."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from marketlake.emr.aws import Aws, code_of, emulate, told
from marketlake.emr.errors import EmrError
from marketlake.emr.lock import DeploymentLock
from marketlake.emr.reporting import Report
from marketlake.emr.state import StateFile
from marketlake.emr.terraform import Terraform
from marketlake.lake.s3_files import S3Files
from marketlake.settings import environment
from marketlake.settings.model import Deployed, EmrSettings, S3Settings, Settings

BANNER: Final = "*** EMULATED: {} stands for AWS. Nothing here is real; nothing here costs ***"
_UNFINISHED: Final = "unfinished-{}.json"
_MADE: Final = ("*.tfstate*", ".terraform", "logs", "*.bin", "*.auto.tfvars.json")


@dataclass
class Root:
    """One of the two Terraform roots of an environment, with its state."""

    terraform: Terraform
    state: StateFile

    def prepare(self, variables: Mapping[str, Any], report: Report) -> None:
        """Bring the state here, and tell Terraform what is asked for."""
        self.state.pull()
        self.set_variables(variables)
        self.terraform.init()
        if self.terraform.note:
            report.say(self.terraform.note)

    def set_variables(self, variables: Mapping[str, Any]) -> None:
        """Write the variables that the command gives, beside those of the environment."""
        path = self.terraform.folder / "deploy.auto.tfvars.json"
        path.write_text(json.dumps(variables, indent=2, sort_keys=True))

    def apply(self) -> None:
        """Do what the plan made last says, with the state followed."""
        with self.state.followed():
            self.terraform.apply()


@dataclass(frozen=True)
class Deployment:
    """An environment (``dev``, ``staging``, ``prod``) where it stands.

    Attributes
    ----------
    checkout : Path
        Root of the repository, which holds the Terraform code.
    """

    stage: Deployed
    all_settings: Settings
    aws: Aws
    checkout: Path
    report: Report

    @property
    def settings(self) -> EmrSettings:
        """The section ``emr``."""
        return self.all_settings.emr

    @property
    def prefix(self) -> str:
        """First part of every name."""
        return f"{self.settings.name}-{self.stage}"

    @property
    def emulated(self) -> bool:
        """True where an emulator stands for AWS."""
        return self.aws.endpoint_url is not None

    @property
    def account(self) -> str:
        """Account that everything is in."""
        return self.aws.identity[0]

    @property
    def state_bucket(self) -> str:
        """Bucket of the state and the lock; the deploy command makes it."""
        return f"{self.prefix}-state-{self.account}-{self.aws.region}"

    @cached_property
    def place(self) -> S3Files:
        """Folder of this deployment in the state bucket."""
        return S3Files(self.state_bucket, self.stage, S3Settings(bucket_owner=self.account))

    @property
    def work(self) -> Path:
        """Folder on this machine; all in it can be made again."""
        url = self.aws.endpoint_url
        cloud = "aws" if url is None else re.sub(r"\W+", "-", url.partition("://")[2]).strip("-")
        name = f"{cloud}-{self.account}-{self.aws.region}-{self.prefix}"
        return environment.cache_dir() / "emr" / name

    @cached_property
    def data(self) -> Root:
        """What outlives clusters: buckets, keys, streams."""
        return self._root("data")

    @cached_property
    def cluster(self) -> Root:
        """What can be thrown away: network, roles, cluster, alarms."""
        return self._root("cluster")

    @property
    def common_variables(self) -> dict[str, Any]:
        """Variables that both roots have."""
        tags = {"owner": self.settings.owner, "cost-center": self.settings.cost_center}
        return {
            "region": self.aws.region,
            "environment": self.stage,
            "name": self.settings.name,
            "tags": tags,
            "emulated": self.emulated,
        }

    def copy_code(self) -> None:
        """Copy the Terraform code to where it is run: the checkout stays as it is."""
        source = self.checkout / "infrastructure" / "terraform"
        if not (source / "envs" / self.stage).is_dir():
            raise EmrError(
                f"{source} has no envs/{self.stage}: run this in a checkout of marketlake"
            )
        shutil.rmtree(self._code, ignore_errors=True)
        shutil.copytree(source, self._code, ignore=shutil.ignore_patterns(*_MADE))

    @property
    def _code(self) -> Path:
        return self.work / "terraform"

    def _root(self, name: str) -> Root:
        folder = self._code / "envs" / self.stage / name
        file = self.work / f"{name}.tfstate"
        backend = {"terraform": {"backend": {"local": {"path": str(file)}}}}
        (folder / "backend_override.tf.json").write_text(json.dumps(backend))
        # Each root's provider stays from one run to the next.
        variables = {"TF_DATA_DIR": str(self.work / f"{name}.terraform")}
        terraform = Terraform(folder, variables, on_progress=self.report.say)
        return Root(terraform, StateFile(self.place, f"{name}.tfstate", file))

    @contextmanager
    def locked(self, what: str) -> Iterator[DeploymentLock]:
        """Hold the lock of this deployment, for a command that changes it."""
        with DeploymentLock(self.place, self.aws.identity[1], what, self.settings.lock_s) as lock:
            if lock.taken_from is not None:
                self.report.say(f"took over the stale lock of {lock.taken_from}")
            yield lock

    def unfinished(self, root: str) -> bool:
        """Tell whether a change of a root was begun and never said to have ended."""
        return self.place.get(_UNFINISHED.format(root)) is not None

    def begin_change(self, root: str) -> None:
        """Note that Terraform is about to make something."""
        self.place.write(_UNFINISHED.format(root), b"{}")

    def end_change(self, root: str) -> None:
        """Note that all it made is in the state."""
        self.place.delete([_UNFINISHED.format(root)])

    def outputs(self, root: str) -> dict[str, Any]:
        """Read the outputs of a root from its state in the bucket, without Terraform.

        Returns
        -------
        dict
            Empty where nothing is deployed.
        """
        if not bucket_exists(self.aws, self.state_bucket):
            return {}
        found = self.place.get(f"{root}.tfstate")
        if found is None:
            return {}
        state = json.loads(found.data)
        return {name: item["value"] for name, item in state.get("outputs", {}).items()}

    def required(self, root: str, name: str) -> Any:
        """Give an output that has to be there.

        Raises
        ------
        EmrError
            If it is not: nothing is deployed.
        """
        value = self.outputs(root).get(name)
        if value is None:
            raise EmrError(
                f"{self.prefix} has no {name} in {self.account}/{self.aws.region}: it is not "
                "deployed there; run scripts/deploy-emr.sh deploy"
            )
        return value


def bucket_exists(aws: Aws, name: str) -> bool:
    """Tell whether a bucket of this account is there."""
    try:
        with told(f"look at bucket {name}"):
            aws.s3.head_bucket(Bucket=name, ExpectedBucketOwner=aws.identity[0])
    except EmrError as error:
        if code_of(error) in {"404", "NoSuchBucket"}:
            return False
        raise
    return True


def open_deployment(
    stage: Deployed,
    settings: Settings,
    report: Report,
    *,
    region: str | None = None,
    endpoint_url: str | None = None,
    checkout: Path | None = None,
) -> Deployment:
    """Find where an environment stands, tell it, and see that it may stand there.

    Raises
    ------
    EmrError
        If the account and region are not on the allow-list of the environment.
    """
    allowed = settings.emr.allowed.get(stage, ())
    if endpoint_url is not None:
        emulate(endpoint_url, region)
        report.echo(BANNER.format(endpoint_url))
    chosen = region or environment.aws_region()
    if chosen is None and len(allowed) == 1:
        chosen = allowed[0].partition("/")[2]
    if chosen is None:
        raise EmrError("no region: say --region, or set AWS_REGION")
    environment.set_for_all({"AWS_REGION": chosen, "AWS_DEFAULT_REGION": chosen})
    aws = Aws(chosen, endpoint_url)
    account, who = aws.identity
    report.echo(f"environment {stage}, account {account}, region {chosen}, as {who}")
    report.fact(
        environment=stage, account=account, region=chosen, emulated=endpoint_url is not None
    )
    place = f"{account}/{chosen}"
    # An emulator is nobody's account: there is nothing to protect.
    if endpoint_url is None and place not in allowed:
        listed = ", ".join(allowed) or "nothing"
        raise EmrError(
            f"{stage} may not stand in {place}: emr.allowed.{stage} in the settings lists {listed}"
        )
    return Deployment(stage, settings, aws, checkout or checkout_root(), report)


def checkout_root() -> Path:
    """Give the root of the repository that this code stands in."""
    return Path(__file__).resolve().parents[2]
