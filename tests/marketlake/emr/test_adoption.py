"""What a killed run left comes into the plan as imports, and is taken over whole."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from marketlake.emr.adoption import adopt, complete
from marketlake.emr.aws import Aws
from marketlake.emr.errors import EmrError
from marketlake.emr.terraform import Change, Planned, Terraform
from marketlake.emr.terraform_process import terraform_program
from tests.marketlake.emr.accounts import OURS, account, find, listed, new_cluster
from tests.s3_servers import S3Server


@pytest.fixture
def aws(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Aws:
    return account(s3_server, monkeypatch)


# --- which imports are planned --------------------------------------------------------------------


class Planning(Terraform):
    """A root that would make what it is given, and imports all but what it is to refuse."""

    def __init__(self, kind: str, values: Mapping[str, Any], *, refuses: bool = False) -> None:
        super().__init__(Path())
        self._wanted = Change("it", kind, "create")
        self._values = values
        self._refuses = refuses
        self.imports: Mapping[str, str] = {}

    def state(self) -> dict[str, Any]:
        return {}

    def plan(
        self,
        *,
        destroy: bool = False,
        refresh: bool = True,
        imports: Mapping[str, str] = MappingProxyType({}),
    ) -> dict[str, int]:
        if imports and self._refuses:
            raise EmrError('terraform plan in .: While attempting to import to "it": no')
        self.imports = dict(imports)
        return {"add": 1 - len(imports), "change": 0, "remove": 0}

    def changes(self) -> list[Change]:
        return [] if self.imports else [self._wanted]

    def planned(self) -> dict[str, Planned]:
        return {"it": Planned(self._values)}


def test_what_another_state_owns_is_not_taken(aws: Aws):
    cluster = new_cluster(aws)
    group = {"Name": "task", "InstanceRole": "TASK", "InstanceType": "m5.large", "InstanceCount": 1}
    aws.emr.add_instance_groups(JobFlowId=cluster, InstanceGroups=[group])
    kind = "aws_emr_instance_group"
    values = {"cluster_id": cluster, "name": "task", "instance_type": "m5.large"}
    made = (find(aws, kind, **values) or "").partition("/")[2]
    root = Planning(kind, values)
    said: list[str] = []
    assert adopt(aws, root, frozenset({(kind, made)}), said.append)["add"] == 1
    assert (root.imports, said) == ({}, [])
    assert adopt(aws, root, frozenset({("aws_vpc", made)}), said.append)["add"] == 0
    assert root.imports == {"it": f"{cluster}/{made}"}
    assert said == ["it is there already, left by a run that did not end: taken over"]


def test_what_cannot_be_imported_is_left_for_later_unless_it_would_be_made_twice(aws: Aws):
    aws.s3.create_bucket(Bucket="left-for-later")
    bucket = Planning("aws_s3_bucket", {"bucket": "left-for-later"}, refuses=True)
    said: list[str] = []
    assert adopt(aws, bucket, frozenset(), said.append)["add"] == 1
    assert bucket.imports == {}
    assert said[-1].startswith("it cannot be taken over: terraform plan")
    assert said[-1].endswith("; left for later")
    kms, what = aws.client("kms"), f"Data of {uuid.uuid4().hex}"
    kms.create_key(Description=what, Tags=listed(OURS, "TagKey"))
    key = Planning("aws_kms_key", {"description": what, "tags_all": OURS}, refuses=True)
    with pytest.raises(EmrError, match="While attempting to import"):
        adopt(aws, key, frozenset(), said.append)


# --- what an import does not read -----------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Terraform:
    """A root without a provider: its state can be read and replaced all the same."""
    if terraform_program() is None:
        pytest.skip("terraform is not installed")
    (tmp_path / "main.tf").write_text("terraform {}\n")
    terraform = Terraform(tmp_path)
    terraform.init()
    return terraform


def holding(root: Terraform, **instance: Any) -> None:
    """Let the state of a root hold one cluster."""
    cluster = {
        "mode": "managed",
        "type": "aws_emr_cluster",
        "name": "this",
        "provider": 'provider["registry.terraform.io/hashicorp/aws"]',
        "instances": [{"schema_version": 0, **instance}],
    }
    state = {
        "version": 4,
        "terraform_version": "1.11.0",
        "serial": 5,
        "lineage": str(uuid.uuid4()),
        "outputs": {},
        "resources": [cluster],
    }
    (root.folder / "terraform.tfstate").write_text(json.dumps(state))


def held(root: Terraform) -> dict[str, Any]:
    (cluster,) = root.state()["resources"]
    (instance,) = cluster["instances"]
    return dict(instance)


CONFIGURATIONS = [{"Classification": "spark-defaults", "Properties": {"spark.a": "1"}}]
IMPORTED = {"keep_job_flow_alive_when_no_steps": None, "configurations_json": None}


def test_what_the_import_of_a_cluster_does_not_read_is_asked_of_emr(aws: Aws, root: Terraform):
    cluster = new_cluster(aws, Configurations=CONFIGURATIONS)
    # A run that was killed between the import and this leaves the same: the next one goes on here.
    holding(root, attributes={"id": cluster, "name": "c", **IMPORTED})
    assert complete(aws, root)
    attributes = held(root)["attributes"]
    assert attributes["keep_job_flow_alive_when_no_steps"] is True
    assert json.loads(attributes["configurations_json"]) == CONFIGURATIONS
    assert attributes["name"] == "c"
    assert root.state()["serial"] > 5
    assert not complete(aws, root), "there is nothing left to fill in"


def test_a_cluster_whose_start_was_cut_short_is_not_replaced_for_that(aws: Aws, root: Terraform):
    cluster = new_cluster(aws, Configurations=CONFIGURATIONS)
    made = {"keep_job_flow_alive_when_no_steps": True, "configurations_json": "[]"}
    holding(root, status="tainted", attributes={"id": cluster, **made})
    assert complete(aws, root)
    assert "status" not in held(root)
    assert held(root)["attributes"]["configurations_json"] == "[]", "as it was asked for"
    # One that has ended stays what it is: it is to be made anew.
    aws.emr.terminate_job_flows(JobFlowIds=[cluster])
    holding(root, status="tainted", attributes={"id": cluster, **made})
    assert not complete(aws, root)
    assert held(root)["status"] == "tainted"


def test_a_state_without_clusters_is_left_alone(aws: Aws, root: Terraform):
    assert root.state() == {}
    assert not complete(aws, root)
