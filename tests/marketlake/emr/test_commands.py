"""The operator's commands at an emulator, on a deployment made by hand, without Terraform."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from marketlake.emr.aws import Aws
from marketlake.emr.backup import back_up, put_back_reference, restore
from marketlake.emr.check import check_cluster
from marketlake.emr.cluster import describe, wait_until_ready
from marketlake.emr.deployment import Deployment, open_deployment
from marketlake.emr.errors import EmrError
from marketlake.emr.reporting import Report
from marketlake.emr.steps import StepLogs, steps_of, submit, wait
from marketlake.emr.streams import job_of, option
from marketlake.emr.weekly import weekly_check
from marketlake.lake import s3_bucket
from marketlake.settings.model import EmrSettings, Settings
from tests.marketlake.emr.places import ACCOUNT, REGION, ROOT, Emulator, deployed_by_hand, emulator

BANNER = "*** EMULATED: "


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with emulator(tmp_path_factory.mktemp("aws")) as running:
        yield running


@pytest.fixture(scope="module")
def outputs(aws: Emulator) -> dict[str, str]:
    return deployed_by_hand(aws)


@pytest.fixture
def client(aws: Emulator, monkeypatch: pytest.MonkeyPatch) -> Aws:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": aws.url,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_SESSION_TOKEN": "",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    return Aws(REGION, aws.url)


@pytest.fixture
def place(client: Aws) -> Deployment:
    # Other modules' emulators have a bucket of that name, too.
    s3_bucket._found.cache_clear()
    settings = Settings(emr=EmrSettings(poll_s=0.2))
    return open_deployment(
        "dev", settings, Report(lambda _line: None), endpoint_url=client.endpoint_url
    )


def test_info_of_nothing(aws: Emulator):
    said = aws.run("info", "--env", "staging")
    assert said.startswith(BANNER)
    assert f"environment staging, account {ACCOUNT}, region {REGION}" in said
    assert "nothing is deployed there" in said


def test_info_tells_pages_and_no_secret_and_changes_nothing(aws: Emulator, outputs: dict[str, str]):
    before = objects(aws)
    facts = aws.facts("info")
    assert facts["emulated"]
    assert facts["cluster_id"] == outputs["cluster_id"]
    lines = facts["port_forwarding"]
    ports = {name: line.rpartition("=")[2] for name, line in lines.items()}
    assert set(ports.values()) == {"8890", "4040", "18080", "8088", "9870"}
    assert all("AWS-StartPortForwardingSession" in line for line in lines.values())
    assert "test" not in json.dumps(facts["data"])
    assert objects(aws) == before


def objects(aws: Emulator) -> set[tuple[str, str, str]]:
    """Every object of every bucket, by version."""
    s3, found = aws.client("s3"), set()
    for bucket in s3.list_buckets()["Buckets"]:
        for item in s3.list_objects_v2(Bucket=bucket["Name"]).get("Contents", []):
            found.add((bucket["Name"], item["Key"], item["ETag"]))
    return found


def test_another_place_than_aws_needs_to_be_named(aws: Emulator):
    process = subprocess.run(
        [sys.executable, "-m", "spark_jobs.cli", "emr", "info", "--region", REGION],
        env={**aws.environment(), "AWS_ENDPOINT_URL": aws.url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 1
    assert f"emr info: AWS_ENDPOINT_URL sends this to {aws.url}" in process.stderr


def test_an_account_and_region_that_are_not_listed_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Aws, "identity", ("111111111111", "arn:aws:iam::111111111111:user/ann"))
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, REGION)
    settings = Settings(emr=EmrSettings(allowed={"dev": ("111111111111/eu-west-1",)}))
    said: list[str] = []
    with pytest.raises(EmrError) as refused:
        open_deployment("dev", settings, Report(said.append))
    assert str(refused.value) == (
        "dev may not stand in 111111111111/us-east-1: emr.allowed.dev in the settings lists "
        "111111111111/eu-west-1"
    )
    who = "arn:aws:iam::111111111111:user/ann"
    assert said == [f"environment dev, account 111111111111, region us-east-1, as {who}"]
    with pytest.raises(EmrError, match=r"prod may not stand in .* lists nothing"):
        open_deployment("prod", settings, Report(said.append), region="eu-west-1")
    place = open_deployment("dev", settings, Report(said.append), region="eu-west-1")
    assert place.state_bucket == "marketlake-dev-state-111111111111-eu-west-1"


def test_prod_is_not_destroyed_by_chance(aws: Emulator):
    said = aws.run("destroy", "--env", "prod", "--confirm", "marketlake-prod", fails=True)
    assert "this is prod: say --prod" in said


def test_a_job_is_completed_submitted_and_waited_for(aws: Emulator, outputs: dict[str, str]):
    release(aws, outputs)
    facts = aws.facts("submit", "batch", "process", "--date", "2024-08-08")
    job = ["batch", "process", "--date", "2024-08-08", "--lake", outputs["lake_uri"]]
    assert facts["job"] == job
    assert facts["state"] == "COMPLETED"
    step = aws.client("emr").describe_step(ClusterId=outputs["cluster_id"], StepId=facts["step"])
    config = step["Step"]["Config"]
    assert config["Jar"] == "command-runner.jar"
    args = config["Args"]
    assert args[:5] == ["spark-submit", "--master", "yarn", "--deploy-mode", "cluster"]
    assert (
        args[args.index("--archives") + 1]
        == "s3://a/e.tar.gz#environment,s3://a/x.tar.gz#application"
    )
    assert args[-len(job) :] == job
    assert step["Step"]["ActionOnFailure"] == "CONTINUE"


def release(aws: Emulator, outputs: dict[str, str]) -> None:
    """Write a release down, as `deploy` does."""
    record = {
        "number": 1,
        "environment": "s3://a/e.tar.gz",
        "environment_sha256": "0" * 64,
        "application": "s3://a/x.tar.gz",
        "main": "s3://a/x/main.py",
        "jars": [],
        "at": "2030-01-01 00:00:00Z",
        "by": "ann",
    }
    place = {"Bucket": outputs["artifacts_bucket"], "Key": "releases/current.json"}
    aws.client("s3").put_object(**place, Body=json.dumps(record))


def test_test_says_what_it_could_not_see(aws: Emulator, outputs: dict[str, str]):
    release(aws, outputs)
    facts = aws.facts("test")
    checks = {check["check"]: check["outcome"] for check in facts["checks"]}
    assert checks["cluster takes steps"] == "ok"
    assert checks["no alarm rings"] == "ok"
    assert checks["a step, read back"] == "skipped"
    assert checks["configurations"] == "ok"


def test_an_alarm_that_rings_fails_the_test(
    place: Deployment, client: Aws, aws: Emulator, outputs: dict[str, str]
):
    release(aws, outputs)
    cloudwatch = client.client("cloudwatch")
    name = "marketlake-dev-freshness"
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        ComparisonOperator="GreaterThanThreshold",
        EvaluationPeriods=1,
        MetricName="m",
        Namespace="n",
        Period=60,
        Statistic="Maximum",
        Threshold=1,
    )
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")
    failed = [found for found in check_cluster(place) if found.outcome == "failed"]
    cloudwatch.delete_alarms(AlarmNames=[name])
    assert [(found.check, found.why.partition(":")[0]) for found in failed] == [
        ("no alarm rings", name)
    ]


def test_the_log_of_a_step_is_shown_as_it_grows(client: Aws, outputs: dict[str, str]):
    cluster = describe(client, outputs["cluster_id"])
    logs = StepLogs(client, cluster, "s-1")
    assert logs.new_lines() == []
    folder = f"emr/{cluster.id}/steps/s-1"

    def write(key: str, *lines: str) -> None:
        body = gzip.compress("\n".join(lines).encode())
        client.s3.put_object(Bucket=outputs["logs_bucket"], Key=key, Body=body)

    write(f"{folder}/stderr.gz", "one")
    assert logs.new_lines() == ["one"]
    assert logs.new_lines() == []
    write(f"{folder}/stderr.gz", "one", "two: application_17_0004 (state: RUNNING)")
    assert logs.new_lines() == ["two: application_17_0004 (state: RUNNING)"]
    driver = f"emr/{cluster.id}/containers/application_17_0004/container_17_0004_01_000001"
    write(f"{driver}/stdout.gz", "stream: no Kafka broker answers")
    write(driver.replace("000001", "000002") + "/stdout.gz", "of an executor")
    assert logs.last_words() == ["stream: no Kafka broker answers"]


def test_a_step_that_fails_is_told(client: Aws, outputs: dict[str, str]):
    cluster = describe(client, outputs["cluster_id"])
    step = submit(client, cluster.id, "bad", ["false"])
    with pytest.raises(EmrError, match=rf"step {step} \(bad\) is FAILED.*its logs: s3://"):
        wait(client, cluster, step, limit_s=60, poll_s=0.2, say=lambda _line: None)


def test_a_step_that_takes_too_long_is_told_and_goes_on(client: Aws, outputs: dict[str, str]):
    cluster = describe(client, outputs["cluster_id"])
    step = submit(client, cluster.id, "long", ["spark-submit", "s3://a/main.py", "stream"])
    with pytest.raises(EmrError, match=r"is still RUNNING after .*; it goes on"):
        wait(client, cluster, step, limit_s=0.5, poll_s=0.2, say=lambda _line: None)
    running = steps_of(client, cluster.id, under_way=True)
    assert [(s.id, job_of(s)) for s in running] == [(step, ["stream"])]
    client.emr.cancel_steps(ClusterId=cluster.id, StepIds=[step])


def test_a_cluster_that_ended_is_told(client: Aws):
    cluster_id = client.emr.run_job_flow(
        Name="other",
        Instances={"InstanceCount": 1, "MasterInstanceType": "m5.xlarge"},
        JobFlowRole="n",
        ServiceRole="s",
    )["JobFlowId"]
    client.emr.terminate_job_flows(JobFlowIds=[cluster_id])
    with pytest.raises(EmrError, match=f"cluster {cluster_id} is TERMINAT"):
        wait_until_ready(client, cluster_id, limit_s=5, poll_s=0.1, say=lambda _line: None)


def test_options_of_a_job():
    job = ["stream", "--lake", "s3a://b/l", "--source=kafka:x"]
    assert option(job, "--lake") == "s3a://b/l"
    assert option(job, "--source") == "kafka:x"
    assert option(job, "--config") is None


def test_a_backup_is_restored_bit_for_bit(
    place: Deployment, client: Aws, outputs: dict[str, str], tmp_path: Path
):
    s3, key = client.s3, "lake/reference/venues/part-0.parquet"
    lake = {"Bucket": outputs["lake_bucket"], "Key": key}
    notebook, table = b'{"cells": []}', bytes(range(256)) * 400
    s3.put_object(Bucket=outputs["artifacts_bucket"], Key="zeppelin/note.zpln", Body=notebook)
    s3.put_object(**lake, Body=table)
    settings = tmp_path / "settings.toml"
    settings.write_text("[emr]\nidle_hours = 3\n")
    name = back_up(place, settings).name

    restored = tmp_path / "restored"
    restore(place, None, restored)
    assert (restored / "artifacts/zeppelin/note.zpln").read_bytes() == notebook
    assert (restored / key).read_bytes() == table
    assert (restored / "configuration/settings.toml").read_text() == settings.read_text()
    effective = json.loads((restored / "configuration/settings.json").read_text())
    assert effective["emr"]["name"] == "marketlake"
    assert (restored / "configuration/data.tfstate").exists()
    with pytest.raises(EmrError, match="is not empty"):
        restore(place, None, restored)

    # While the tables stand nothing is mixed with them; lost, they come back.
    with pytest.raises(EmrError, match="reference/ is not empty"):
        put_back_reference(place, restored)
    s3.delete_object(**lake)
    assert put_back_reference(place, restored) == 1
    assert s3.get_object(**lake)["Body"].read() == table

    # A changed file is no backup, and one that was cut off has no manifest.
    path = f"backups/{name}/artifacts/zeppelin/note.zpln"
    s3.put_object(Bucket=outputs["backup_bucket"], Key=path, Body=b"other")
    again = tmp_path / "again"
    with pytest.raises(EmrError, match="is not what was backed up"):
        restore(place, name, again)
    assert not again.exists()
    s3.delete_object(Bucket=outputs["backup_bucket"], Key=f"backups/{name}/manifest.json")
    with pytest.raises(EmrError, match="no backup"):
        restore(place, name, again)


def set_cost(aws: Emulator, usd: float) -> None:
    """Let Cost Explorer answer that, once."""
    period = {"Start": "2030-01-01", "End": "2030-01-02"}
    total = {"UnblendedCost": {"Amount": str(usd), "Unit": "USD"}}
    answer = {
        "ResultsByTime": [{"TimePeriod": period, "Total": total, "Groups": [], "Estimated": True}],
        "DimensionValueAttributes": [],
    }
    request = urllib.request.Request(
        f"{aws.url}/moto-api/static/ce/cost-and-usage-results",
        data=json.dumps({"results": [answer]}).encode(),
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    urllib.request.urlopen(request, timeout=10).close()


@pytest.mark.usefixtures("outputs")
def test_the_weekly_check_names_what_costs(aws: Emulator, client: Aws, tmp_path: Path):
    settings = tmp_path / "settings.toml"
    settings.write_text("[emr]\nidle_hours = 0.000001\nage_days = 0.0000001\nmonth_usd = 100.0\n")
    stray = client.emr.run_job_flow(
        Name="forgotten",
        Instances={
            "InstanceCount": 1,
            "MasterInstanceType": "m5.xlarge",
            "KeepJobFlowAliveWhenNoSteps": True,
        },
        JobFlowRole="n",
        ServiceRole="s",
    )["JobFlowId"]
    volume = client.client("ec2").create_volume(AvailabilityZone=f"{REGION}a", Size=7)["VolumeId"]
    set_cost(aws, 123.456)
    time.sleep(0.1)
    facts = aws.facts("weekly-check", "--config", str(settings), fails=True)
    found = {(f["kind"], f["what"].split(" (")[0]) for f in facts["findings"]}
    assert ("unknown", f"cluster {stray}") in found
    assert {kind for kind, _ in found} == {"unknown", "idle", "old", "unattached", "cost"}
    assert ("unattached", f"volume {volume}") in found
    assert facts["month_usd"] == 123.456
    client.emr.terminate_job_flows(JobFlowIds=[stray])
    client.client("ec2").delete_volume(VolumeId=volume)


def test_a_quiet_week_is_no_finding(aws: Emulator):
    set_cost(aws, 1.0)
    # moto keeps the answer to one question: another environment is another one.
    facts = aws.facts("weekly-check", "--env", "staging")
    assert facts["month_usd"] == 1.0
    assert facts["findings"] == []


def test_a_busy_cluster_is_not_idle(place: Deployment, client: Aws, outputs: dict[str, str]):
    step = submit(client, outputs["cluster_id"], "s", ["spark-submit", "s3://a/main.py", "stream"])
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert not any(f.kind == "idle" for f in weekly_check(place, now=tomorrow))
    client.emr.cancel_steps(ClusterId=outputs["cluster_id"], StepIds=[step])
    idle = [f for f in weekly_check(place, now=tomorrow) if f.kind == "idle"]
    assert [f.what.split()[1] for f in idle] == [outputs["cluster_id"]]


def test_a_script_without_a_command_says_what_there_is():
    script = str(ROOT / "scripts" / "deploy-emr.sh")
    done = subprocess.run([script], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("deploy-emr: say deploy, test, info, destroy")
