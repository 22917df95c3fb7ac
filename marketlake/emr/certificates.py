"""Certificates for encryption between nodes: made here, kept in the artifacts bucket, watched.

EMR wants a zip of PEM files in S3, which each node fetches when it starts, those that scaling adds
too. One pair serves all nodes of a cluster. The private key passes from openssl to the bucket in
memory: no file, no log and no Terraform state ever holds it, only its address.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import ssl
import subprocess
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from botocore.exceptions import ClientError

from marketlake.emr.aws import Aws, code_of, told
from marketlake.emr.cluster import Cluster
from marketlake.emr.deployment import Deployment
from marketlake.emr.errors import EmrError

_FOLDER: Final = "certificates/"
_ENDS: Final = "not-after"
"""Metadata of an archive, so that nobody has to open it to know when it ends."""
_OPENSSL: Final = "openssl"
_KEY_BITS: Final = "rsa_keygen_bits:2048"


class CertificatesError(EmrError):
    """An archive is gone, or says nothing of itself."""


@dataclass(frozen=True)
class Certificates:
    """An archive of certificates.

    Attributes
    ----------
    uri : str
        ``s3://`` address.
    ends : datetime
        UTC; from then on nodes refuse each other.
    """

    uri: str
    ends: datetime

    def days_left(self, now: datetime) -> float:
        """Days until it ends; negative after."""
        return (self.ends - now) / timedelta(days=1)


def for_nodes(deployment: Deployment, *, replaces: bool) -> str | None:
    """Give the address of the certificates for a cluster that is about to be planned.

    Parameters
    ----------
    replaces : bool
        A cluster that runs may be replaced: other certificates mean another cluster.

    Returns
    -------
    str or None
        None where EMR is not to encrypt.
    """
    settings, say = deployment.settings, deployment.report.say
    if not settings.encrypt_between_nodes:
        return None
    there = _latest(deployment)
    if there is not None:
        if there.days_left(datetime.now(UTC)) > settings.certificate_warn_days:
            return there.uri
        if deployment.outputs("cluster").get("cluster_id") and not replaces:
            say(f"the nodes' certificates end on {there.ends:%Y-%m-%d}: --replace-cluster renews")
            return there.uri
    return _make(deployment).uri


def remove_former(deployment: Deployment, kept: str | None) -> None:
    """Remove the archives of former clusters, with every version: a key is not to lie about.

    Parameters
    ----------
    kept : str or None
        Address of the one that is in use.
    """
    aws, place = deployment.aws, _place(deployment)
    with told(f"list the versions of s3://{place['Bucket']}/{_FOLDER}"):
        pages = aws.s3.get_paginator("list_object_versions").paginate(**place, Prefix=_FOLDER)
        items = [i for p in pages for k in ("Versions", "DeleteMarkers") for i in p.get(k, ())]
    old = [item for item in items if f"s3://{place['Bucket']}/{item['Key']}" != kept]
    for item in old:
        with told(f"remove s3://{place['Bucket']}/{item['Key']}"):
            aws.s3.delete_object(**place, Key=item["Key"], VersionId=item["VersionId"])
    if old:
        said = ", ".join(sorted({item["Key"] for item in old}))
        deployment.report.say(f"removed certificates that no node uses: {said}")


def _latest(deployment: Deployment) -> Certificates | None:
    """Give those that end last; a run that was killed may have left others beside."""
    place = _place(deployment)
    with told(f"list s3://{place['Bucket']}/{_FOLDER}"):
        items = deployment.aws.s3.list_objects_v2(**place, Prefix=_FOLDER).get("Contents", ())
    found = [read(deployment.aws, f"s3://{place['Bucket']}/{item['Key']}") for item in items]
    return max(found, key=lambda certificates: certificates.ends, default=None)


def _make(deployment: Deployment) -> Certificates:
    archive, name, ends = _archive(deployment.aws.region, deployment.settings.certificate_days)
    place, key = _place(deployment), f"{_FOLDER}{name}.zip"
    made = Certificates(f"s3://{place['Bucket']}/{key}", ends)
    with told(f"write {made.uri}"):
        # The bucket encrypts it with the key of the deployment.
        deployment.aws.s3.put_object(
            **place, Key=key, Body=archive, Metadata={_ENDS: ends.isoformat()}
        )
    deployment.report.say(f"made certificates for the nodes, valid until {ends:%Y-%m-%d}")
    return made


def _place(deployment: Deployment) -> dict[str, str]:
    bucket = deployment.required("data", "artifacts_bucket")
    return {"Bucket": bucket, "ExpectedBucketOwner": deployment.account}


def require_openssl() -> None:
    """See that certificates can be made here.

    Raises
    ------
    EmrError
        If they cannot.
    """
    if shutil.which(_OPENSSL) is None:
        raise EmrError(
            "openssl is not on PATH: install it, or set emr.encrypt_between_nodes = false"
        )


def of_cluster(aws: Aws, cluster: Cluster) -> Certificates | None:
    """Give the certificates that a cluster's nodes use; None where EMR does not encrypt.

    Raises
    ------
    CertificatesError
        If the archive is gone: no node could join the cluster any more.
    """
    uri = _address(aws, cluster)
    return None if uri is None else read(aws, uri)


def encrypts_between_nodes(aws: Aws, cluster: Cluster) -> bool:
    """Tell whether EMR encrypts what passes between a cluster's nodes, and serves pages by TLS."""
    return _address(aws, cluster) is not None


def _address(aws: Aws, cluster: Cluster) -> str | None:
    name = cluster.security_configuration
    if not name:
        return None
    with told(f"describe security configuration {name}"):
        answer = aws.emr.describe_security_configuration(Name=name)
    encryption = json.loads(answer["SecurityConfiguration"]).get("EncryptionConfiguration", {})
    if not encryption.get("EnableInTransitEncryption"):
        return None
    tls = encryption["InTransitEncryptionConfiguration"]["TLSCertificateConfiguration"]
    return str(tls["S3Object"])


def read(aws: Aws, uri: str) -> Certificates:
    """Ask when the certificates at an address end, without opening them.

    Raises
    ------
    CertificatesError
        If nothing is there, or it is not of our making.
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    with told(f"look at {uri}"):
        try:
            found: dict[str, Any] = aws.s3.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if code_of(error) not in {"404", "NoSuchKey"}:
                raise
            raise CertificatesError(
                f"the certificates {uri} are gone, and no node can join the cluster without them: "
                "replace it by deploy --replace-cluster"
            ) from error
    ends = found["Metadata"].get(_ENDS)
    if ends is None:
        raise CertificatesError(
            f"{uri} does not say when it ends: write it there as metadata {_ENDS}, as ISO 8601"
        )
    return Certificates(uri, datetime.fromisoformat(ends))


def _archive(region: str, days: int) -> tuple[bytes, str, datetime]:
    """Make the zip that EMR wants; give it with a name and the end of its certificate."""
    # What nodes are called in a VPC that leaves names to AWS.
    domain = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    subject = [f"/CN=*.{domain}", "-addext", f"subjectAltName=DNS:*.{domain}"]
    key = _openssl(["genpkey", "-algorithm", "RSA", "-pkeyopt", _KEY_BITS])
    new = ["req", "-x509", "-new", "-sha256", "-key", "/dev/stdin", "-days", str(days)]
    certificate = _openssl([*new, "-subj", *subject], key)
    told_end = _openssl(["x509", "-noout", "-enddate"], certificate).decode().partition("=")[2]
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(told_end.strip()), UTC)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("privateKey.pem", key)
        archive.writestr("certificateChain.pem", certificate)
        # It is signed by itself: who trusts it has to be told so.
        archive.writestr("trustedCertificates.pem", certificate)
    return packed.getvalue(), hashlib.sha256(certificate).hexdigest(), ends


def _openssl(arguments: Sequence[str], given: bytes = b"") -> bytes:
    done = subprocess.run(
        [_OPENSSL, *arguments], input=given, capture_output=True, check=False, timeout=60
    )
    if done.returncode:
        # What it printed may be a key; what it complained of is none.
        lines = done.stderr.decode(errors="replace").split("\n")
        said = next((line for line in reversed(lines) if line.strip()), "no word")
        raise EmrError(f"openssl {arguments[0]} failed: {' '.join(said.split())}")
    return done.stdout
