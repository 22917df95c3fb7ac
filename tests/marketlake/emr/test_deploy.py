"""From an empty account to a cluster and back to nothing, with a kill on the way: real Terraform.

One deployment for all tests here, in their order: an apply takes a minute of the provider's own
waiting.
"""

from __future__ import annotations

import io
import json
import os
import random
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from marketlake.emr.finders import FINDERS
from marketlake.emr.terraform_process import terraform_program
from tests.infrastructure.deployments import without
from tests.marketlake.emr.places import ACCOUNT, REGION, Emulator, emulator

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1_200),
    pytest.mark.skipif(terraform_program() is None, reason="terraform is not installed"),
]

_LOST = "module.monitoring.aws_kms_key.operations"
# A group ends with its cluster; a security configuration is named by what a destroy does not know.
_FOUND = FINDERS.keys() - {"aws_emr_instance_group", "aws_emr_security_configuration"}
_STATE_BUCKET = f"marketlake-dev-state-{ACCOUNT}-{REGION}"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with emulator(tmp_path_factory.mktemp("aws")) as running:
        yield running


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Archives that nobody unpacks here: those of real jobs are packed by the tests of YARN."""
    folder = tmp_path_factory.mktemp("code")
    for name in ("environment", "application"):
        (folder / f"{name}.tar.gz").write_bytes(name.encode() * 100)
    settings = folder / "settings.toml"
    settings.write_text("[emr]\npoll_s = 0.5\ndrain_s = 3\n")
    options = ["--config", str(settings)]
    for name in ("environment", "application"):
        options += [f"--{name}-archive", str(folder / f"{name}.tar.gz")]
    return tuple(options)


def killed_after(aws: Emulator, said: str, *arguments: str) -> str:
    """Start a command, and kill it with all it started when it says something; give its words."""
    process = aws.start(*arguments)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if said in line:
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    text = "".join(lines)
    assert said in text, text
    return text


def killed_when(aws: Emulator, there: Callable[[], object], *arguments: str) -> str:
    """Start a command, and kill it with all it started when AWS has something; give its words."""
    process = aws.start(*arguments)
    while not there():
        # It ended before that, which is not what was to be.
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    return process.communicate()[0]


def clusters(aws: Emulator) -> list[str]:
    """Every cluster that was ever made, by its id."""
    return [cluster["Id"] for cluster in aws.client("emr").list_clusters()["Clusters"]]


def names(aws: Emulator) -> dict[str, set[str]]:
    """What of ours stands in the account, by asking each service."""
    prefix = "marketlake-dev"
    found = {
        "buckets": [b["Name"] for b in aws.client("s3").list_buckets()["Buckets"]],
        "streams": aws.client("kinesis").list_streams()["StreamNames"],
        "roles": [r["RoleName"] for r in aws.client("iam").list_roles()["Roles"]],
        "alarms": [
            a["AlarmName"] for a in aws.client("cloudwatch").describe_alarms()["MetricAlarms"]
        ],
        "clusters": [
            c["Name"]
            for c in aws.client("emr").list_clusters(
                ClusterStates=["STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING"]
            )["Clusters"]
        ],
        "vpcs": [
            v["VpcId"]
            for v in aws.client("ec2").describe_vpcs()["Vpcs"]
            if any(tag["Value"] == "dev" for tag in v.get("Tags", []))
        ],
    }
    return {
        kind: {n for n in those if n.startswith((prefix, "vpc-"))} for kind, those in found.items()
    }


def test_a_deploy_killed_twice_is_completed_by_the_next(aws: Emulator, code: tuple[str, ...]):
    # In the midst of the data: buckets are there, some of them in no state that reached the bucket.
    said = killed_after(aws, 'aws_s3_bucket.this["lake"]: Creation complete', "deploy", *code)
    assert said.startswith("*** EMULATED: ")
    assert "[4/8]" in said
    # EMR has made the cluster, and Terraform, which waits until it is up, has not written it down.
    said = killed_when(aws, lambda: clusters(aws), "deploy", *code)
    assert "took over the stale lock of deploy of" in said
    assert "aws_emr_cluster.this: Creation complete" not in said
    begun = clusters(aws)
    said = aws.run("deploy", *code)
    assert "aws_emr_cluster.this is there already" in said
    assert clusters(aws) == begun
    assert "[8/8] ready" in said
    assert "EMULATED: the emulator said that the step completed" in said
    found = names(aws)
    assert found["clusters"] == {"marketlake-dev"}
    # A resource that was made twice would be here twice.
    assert len(found["vpcs"]) == 1
    assert made_twice(aws) == []


def made_twice(aws: Emulator) -> list[str]:
    """Name what any number may be made of, and is there more than once."""
    keys = aws.client("kms")
    ids = [key["KeyId"] for key in keys.list_keys()["Keys"]]
    described = [keys.describe_key(KeyId=key)["KeyMetadata"]["Description"] for key in ids]
    tables = aws.client("ec2").describe_route_tables(
        Filters=[{"Name": "tag:Name", "Values": ["*"]}]
    )["RouteTables"]
    groups = aws.client("emr").list_instance_groups(ClusterId=clusters(aws)[0])["InstanceGroups"]
    found = [*described, *("table" for _ in tables), *(group["Name"] for group in groups)]
    assert {"Data of marketlake-dev", "table", "task"} <= set(found)
    return sorted({name for name in found if found.count(name) > 1})


def test_certificates_are_in_the_bucket_and_their_key_is_nowhere_else(aws: Emulator):
    emr, s3 = aws.client("emr"), aws.client("s3")
    (cluster,) = emr.list_clusters()["Clusters"]
    name = emr.describe_cluster(ClusterId=cluster["Id"])["Cluster"]["SecurityConfiguration"]
    told = json.loads(emr.describe_security_configuration(Name=name)["SecurityConfiguration"])
    encryption = told["EncryptionConfiguration"]
    assert encryption["EnableInTransitEncryption"]
    tls = encryption["InTransitEncryptionConfiguration"]["TLSCertificateConfiguration"]
    bucket, _, key = tls["S3Object"].removeprefix("s3://").partition("/")
    archive = s3.get_object(Bucket=bucket, Key=key)
    assert archive["ServerSideEncryption"] == "aws:kms"
    with zipfile.ZipFile(io.BytesIO(archive["Body"].read())) as files:
        secret = files.read("privateKey.pem").splitlines()[1]
    made = [path for path in (aws.folder / "cache").rglob("*") if path.is_file()]
    assert any(path.name == "cluster.tfstate" for path in made)
    assert [path for path in made if secret in path.read_bytes()] == []
    for item in s3.list_objects_v2(Bucket=_STATE_BUCKET)["Contents"]:
        state = s3.get_object(Bucket=_STATE_BUCKET, Key=item["Key"])["Body"].read()
        assert secret not in state, item["Key"]


def test_a_second_deploy_changes_nothing(aws: Emulator, code: tuple[str, ...]):
    facts = aws.facts("deploy", *code)
    assert facts["changes"] == 0
    assert facts["release"] == 1
    assert [step["step"] for step in facts["steps"]] == [
        "prerequisites",
        "init",
        "validate",
        "plan and apply: data, artifacts, cluster",
        "wait for the cluster",
        "release the jobs",
        "smoke test: a step, read back",
        "ready",
    ]


def test_a_running_cluster_is_not_replaced_by_chance(
    aws: Emulator, code: tuple[str, ...], tmp_path: Path
):
    before = names(aws)
    archive = tmp_path / "environment.tar.gz"
    archive.write_bytes(b"another environment: its digest stands in a bootstrap action")
    settings = tmp_path / "settings.toml"
    settings.write_text(f"{Path(code[1]).read_text()}[cluster]\nmax_executors = 3\n")
    other = ["--config", str(settings), "--environment-archive", str(archive), *code[4:]]
    said = aws.run("deploy", *other, fails=True)
    # The configurations of this cluster were filled in when it was taken over.
    assert f"this would end cluster {clusters(aws)[0]} and make a new one" in said
    assert "(changed: bootstrap_action, configurations_json)" in said
    assert "--replace-cluster" in said
    assert names(aws) == before


def test_info_and_a_job(aws: Emulator, code: tuple[str, ...]):
    facts = aws.facts("info")
    assert facts["cluster_state"] == "WAITING"
    assert facts["data"]["lake_uri"] in aws.run("info")
    facts = aws.facts("submit", *code[:2], "--no-wait", "stream", "--until-idle")
    source = f"kinesis:{REGION}/marketlake-dev-market"
    assert facts["job"][2:] == [
        "--lake",
        f"s3a://marketlake-dev-{ACCOUNT}-lake/lake",
        "--source",
        source,
    ]


def test_destroy_asks_for_the_name(aws: Emulator):
    before = names(aws)
    assert "not confirmed: nothing was changed" in aws.run(
        "destroy", "--confirm", "marketlake-prod", fails=True
    )
    assert names(aws) == before


def lose(aws: Emulator, chance: random.Random) -> list[str]:
    """Let the state of the cluster lack some of what is there, as a killed deploy leaves it."""
    s3, place = aws.client("s3"), {"Bucket": _STATE_BUCKET, "Key": "dev/cluster.tfstate"}
    state = json.loads(s3.get_object(**place)["Body"].read())
    lost = []

    def is_lost(kind: str, address: str) -> bool:
        if address != _LOST and (kind not in _FOUND or chance.random() < 0.5):
            return False
        lost.append(address)
        return True

    s3.put_object(**place, Body=json.dumps(without(state, is_lost)))
    s3.put_object(Bucket=_STATE_BUCKET, Key="dev/unfinished-cluster.json", Body=b"{}")
    return lost


def keys_in_use(aws: Emulator) -> set[str]:
    """What the keys are for that are not on the way out."""
    keys = aws.client("kms")
    ids = [key["KeyId"] for key in keys.list_keys()["Keys"]]
    described = [keys.describe_key(KeyId=key)["KeyMetadata"] for key in ids]
    used = [key["Description"] for key in described if key["KeyState"] == "Enabled"]
    return {what for what in used if "marketlake-dev" in what}


def test_destroy_leaves_the_data_unless_told(aws: Emulator, code: tuple[str, ...]):
    before = names(aws)
    lost = lose(aws, random.Random(20_261_122))
    assert _LOST in lost
    said = aws.run("destroy", *code[:2], "--confirm", "marketlake-dev", "--kill-streams")
    assert [address for address in lost if f"{address} is there already" not in said] == []
    assert "lake, streams and keys are kept" in said
    assert keys_in_use(aws) == {"Data of marketlake-dev"}
    found = names(aws)
    assert found["buckets"] == before["buckets"]
    assert found["streams"] == before["streams"]
    assert (found["clusters"], found["vpcs"], found["alarms"]) == (set(), set(), set())
    (artifacts,) = [name for name in found["buckets"] if name.endswith("-artifacts")]
    kept = aws.client("s3").list_object_versions(Bucket=artifacts, Prefix="certificates/")
    assert "Versions" not in kept, "a key of a cluster that is gone"


def test_destroy_of_everything_leaves_what_it_names(aws: Emulator):
    facts = aws.facts("destroy", "--data", "--confirm", "marketlake-dev")
    assert [(left["what"], left["expected"]) for left in facts["left"]] == [
        (f"bucket {_STATE_BUCKET} (states and lock)", True)
    ]
    found = names(aws)
    assert found.pop("buckets") == {_STATE_BUCKET}
    assert not any(found.values()), found
