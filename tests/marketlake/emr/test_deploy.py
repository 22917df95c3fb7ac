"""From an empty account to a cluster and back to nothing, with a kill on the way: real Terraform.

One deployment for all tests here, in their order: an apply takes a minute of the provider's own
waiting.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from marketlake.emr.terraform import terraform_program
from tests.marketlake.emr.places import ACCOUNT, REGION, Emulator, emulator

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1_200),
    pytest.mark.skipif(terraform_program() is None, reason="terraform is not installed"),
]

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
    # In the midst of the cluster.
    said = killed_after(aws, "aws_security_group.master: Creation complete", "deploy", *code)
    assert "took over the stale lock of deploy of" in said
    said = aws.run("deploy", *code)
    assert "[8/8] ready" in said
    assert "EMULATED: the emulator said that the step completed" in said
    found = names(aws)
    assert found["clusters"] == {"marketlake-dev"}
    # A resource that was made twice would be here twice.
    assert len(found["vpcs"]) == 1
    clusters = aws.client("emr").list_clusters()["Clusters"]
    assert [c["Name"] for c in clusters] == ["marketlake-dev"]


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
    other = tmp_path / "environment.tar.gz"
    other.write_bytes(b"another environment: its digest stands in a bootstrap action")
    config = code[:2]
    said = aws.run("deploy", *config, "--environment-archive", str(other), *code[4:], fails=True)
    assert "this would end cluster" in said
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


def test_destroy_leaves_the_data_unless_told(aws: Emulator, code: tuple[str, ...]):
    before = names(aws)
    said = aws.run("destroy", *code[:2], "--confirm", "marketlake-dev", "--kill-streams")
    assert "lake, streams and keys are kept" in said
    found = names(aws)
    assert found["buckets"] == before["buckets"]
    assert found["streams"] == before["streams"]
    assert (found["clusters"], found["vpcs"], found["alarms"]) == (set(), set(), set())


def test_destroy_of_everything_leaves_what_it_names(aws: Emulator):
    facts = aws.facts("destroy", "--data", "--confirm", "marketlake-dev")
    assert [(left["what"], left["expected"]) for left in facts["left"]] == [
        (f"bucket {_STATE_BUCKET} (states and lock)", True)
    ]
    found = names(aws)
    assert found.pop("buckets") == {_STATE_BUCKET}
    assert not any(found.values()), found
