"""Certificates of the nodes: that they are what EMR and TLS ask for, and where their key is."""

from __future__ import annotations

import io
import json
import ssl
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from marketlake.emr.aws import Aws
from marketlake.emr.certificates import for_nodes, remove_former, require_openssl
from marketlake.emr.check import check_cluster
from marketlake.emr.deployment import Deployment
from marketlake.emr.errors import EmrError
from marketlake.emr.info import info
from marketlake.emr.reporting import Report
from marketlake.emr.weekly import weekly_check
from marketlake.lake import s3_bucket
from marketlake.settings.model import EmrSettings, Settings
from tests.marketlake.emr.places import REGION, ROOT, Emulator, deployed_by_hand, emulator

ADDRESS = "10-1-2-3"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with emulator(tmp_path_factory.mktemp("aws")) as running:
        yield running


@pytest.fixture
def outputs(aws: Emulator) -> dict[str, str]:
    return deployed_by_hand(aws)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def place(
    aws: Emulator, outputs: dict[str, str], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> Deployment:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": aws.url,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    s3_bucket._found.cache_clear()
    settings = Settings(emr=EmrSettings(poll_s=0.2, age_days=1_000, idle_hours=10_000))
    return Deployment("dev", settings, Aws(REGION, aws.url), ROOT, Report(said.append))


def archive_of(place: Deployment, uri: str) -> dict[str, bytes]:
    """Give the files of an archive in S3, as a node unpacks them."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    data = place.aws.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def made(place: Deployment, *, replaces: bool = False) -> str:
    uri = for_nodes(place, replaces=replaces)
    assert uri is not None
    return uri


def ends_in(place: Deployment, uri: str, days: float) -> None:
    """Let an archive say that it ends in so many days."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    ends = (datetime.now(UTC) + timedelta(days=days)).isoformat()
    body = place.aws.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    place.aws.s3.put_object(Bucket=bucket, Key=key, Body=body, Metadata={"not-after": ends})


def keys(place: Deployment, outputs: dict[str, str]) -> list[str]:
    """Every version of every archive that is kept."""
    found = place.aws.s3.list_object_versions(
        Bucket=outputs["artifacts_bucket"], Prefix="certificates/"
    )
    return [v["Key"] for k in ("Versions", "DeleteMarkers") for v in found.get(k, [])]


def test_archive_is_what_emr_asks_for(place: Deployment, outputs: dict[str, str]):
    uri = made(place)
    assert uri.startswith(f"s3://{outputs['artifacts_bucket']}/certificates/")
    files = archive_of(place, uri)
    assert set(files) == {"privateKey.pem", "certificateChain.pem", "trustedCertificates.pem"}
    assert files["trustedCertificates.pem"] == files["certificateChain.pem"]
    key = load_pem_private_key(files["privateKey.pem"], None)
    certificate = x509.load_pem_x509_certificate(files["certificateChain.pem"])
    assert isinstance(key, rsa.RSAPrivateKey)
    assert key.key_size == 2048
    assert certificate.public_key() == key.public_key()
    days = (certificate.not_valid_after_utc - datetime.now(UTC)) / timedelta(days=1)
    assert 364.9 < days < 365.1


def handshake(folder: Path, files: dict[str, bytes], name: str) -> None:
    """Let a node talk to another of a name, each with what is in the archive."""
    for file, data in files.items():
        (folder / file).write_bytes(data)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "certificateChain.pem", folder / "privateKey.pem")
    client = ssl.create_default_context(cafile=folder / "trustedCertificates.pem")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    done = [False, False]
    for _ in range(10):
        for n, end in enumerate(ends):
            try:
                end.do_handshake()
                done[n] = True
            except ssl.SSLWantReadError:
                continue
        if all(done):
            return
    raise AssertionError("no end of the handshake")


@pytest.mark.parametrize(
    ("region", "domain"),
    [("us-east-1", "ec2.internal"), ("eu-west-1", "eu-west-1.compute.internal")],
)
def test_nodes_trust_each_other_and_nobody_else(
    place: Deployment,
    outputs: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    region: str,
    domain: str,
):
    # Another region's deployment, in the buckets of this one.
    monkeypatch.setattr(Deployment, "outputs", lambda _self, _root: outputs)
    aws = Aws(region, place.aws.endpoint_url)
    there = Deployment("dev", place.all_settings, aws, ROOT, place.report)
    files = archive_of(place, made(there, replaces=True))
    handshake(tmp_path, files, f"ip-{ADDRESS}.{domain}")
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(tmp_path, files, "node.example.com")


def test_same_are_given_again_until_they_are_about_to_end(place: Deployment, said: list[str]):
    first = made(place)
    assert made(place) == first
    ends_in(place, first, 31)
    assert made(place, replaces=True) == first
    ends_in(place, first, 29)
    assert made(place) == first, "a cluster that runs keeps its own"
    assert said[-1].endswith("--replace-cluster renews")
    second = made(place, replaces=True)
    assert second != first
    assert made(place) == second


def test_without_a_cluster_they_are_renewed(place: Deployment, monkeypatch: pytest.MonkeyPatch):
    first = made(place)
    ends_in(place, first, 29)
    states = {"data": place.outputs("data"), "cluster": {}}
    monkeypatch.setattr(Deployment, "outputs", lambda _self, root: states[root])
    assert made(place) != first


def test_none_where_they_are_not_wanted(place: Deployment, outputs: dict[str, str]):
    plain = Settings(emr=EmrSettings(encrypt_between_nodes=False))
    there = Deployment("dev", plain, place.aws, ROOT, place.report)
    assert for_nodes(there, replaces=True) is None
    assert keys(place, outputs) == []


def test_former_keys_go_with_every_version(place: Deployment, outputs: dict[str, str]):
    bucket = {"Bucket": outputs["artifacts_bucket"]}
    place.aws.s3.put_bucket_versioning(**bucket, VersioningConfiguration={"Status": "Enabled"})
    first = made(place)
    ends_in(place, first, 29)
    second = made(place, replaces=True)
    place.aws.s3.delete_object(**bucket, Key=first.partition("/certificates/")[2])
    assert len(keys(place, outputs)) == 3
    remove_former(place, second)
    assert keys(place, outputs) == [second.partition(f"{outputs['artifacts_bucket']}/")[2]]
    remove_former(place, None)
    assert keys(place, outputs) == []


@pytest.fixture
def encrypted(place: Deployment, outputs: dict[str, str]) -> str:
    """Address of the certificates of a cluster that has some."""
    uri = made(place)
    tls = {"TLSCertificateConfiguration": {"CertificateProviderType": "PEM", "S3Object": uri}}
    encryption = {"EnableInTransitEncryption": True, "InTransitEncryptionConfiguration": tls}
    name = outputs["artifacts_bucket"]
    place.aws.emr.create_security_configuration(
        Name=name, SecurityConfiguration=json.dumps({"EncryptionConfiguration": encryption})
    )
    cluster_id = place.aws.emr.run_job_flow(
        Name="marketlake-dev",
        Instances={
            "InstanceCount": 1,
            "MasterInstanceType": "m5.xlarge",
            "KeepJobFlowAliveWhenNoSteps": True,
        },
        SecurityConfiguration=name,
        Tags=[{"Key": "project", "Value": "marketlake"}],
        JobFlowRole="n",
        ServiceRole="s",
    )["JobFlowId"]
    state = json.dumps({"outputs": {"cluster_id": {"value": cluster_id}}})
    place.place.write("cluster.tfstate", state.encode())
    return uri


def certificates_check(place: Deployment) -> tuple[str, str]:
    found = next(f for f in check_cluster(place) if f.check == "certificates of the nodes")
    return found.outcome, found.why


def week(place: Deployment, encrypted: str) -> list[str]:
    """What the weekly check says of the certificates of that cluster."""
    cluster_id = place.outputs("cluster")["cluster_id"]
    found = weekly_check(place)
    return [f.why for f in found if f.kind == "certificates" and cluster_id in f.what]


def test_checks_warn_thirty_days_before(place: Deployment, encrypted: str):
    assert certificates_check(place) == ("ok", "")
    assert week(place, encrypted) == []
    ends_in(place, encrypted, 29)
    day = f"{datetime.now(UTC) + timedelta(days=29):%Y-%m-%d}"
    said = f"they end on {day}: deploy --replace-cluster before"
    assert certificates_check(place) == ("failed", said)
    assert week(place, encrypted) == [said]


def test_checks_miss_an_archive_that_is_gone(place: Deployment, encrypted: str):
    remove_former(place, None)
    outcome, why = certificates_check(place)
    assert outcome == "failed"
    assert why.startswith(f"the certificates {encrypted} are gone")
    assert week(place, encrypted) == [why]


def test_a_cluster_without_them_is_no_finding(place: Deployment, outputs: dict[str, str]):
    assert certificates_check(place)[0] == "skipped"
    assert week(place, "") == []


def test_pages_are_where_tls_puts_them(place: Deployment, encrypted: str, said: list[str]):
    info(place)
    lines = place.report.facts["port_forwarding"]
    ports = {name: line.rpartition(" portNumber=")[2] for name, line in lines.items()}
    assert ports["YARN"] == "8090,localPortNumber=8088"
    assert ports["Spark history"] == "18480,localPortNumber=18080"
    assert ports["HDFS"] == "9871,localPortNumber=9870"
    assert ports["Zeppelin"] == "8890,localPortNumber=8890"
    assert any("YARN: https://localhost:8088/cluster" in line for line in said)


def test_openssl_that_is_absent_or_fails_is_one_line(
    place: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmrError, match="openssl is not on PATH"):
        require_openssl()
    program = tmp_path / "openssl"
    program.write_text("#!/bin/sh\necho PRIVATE\necho 'no entropy' >&2\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(EmrError) as failed:
        made(place, replaces=True)
    assert str(failed.value) == "openssl genpkey failed: no entropy"
