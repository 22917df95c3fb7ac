"""Which code jobs run: a record in the artifacts bucket, written anew by each release."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from marketlake.emr.artifacts import Store, sha256_of
from marketlake.emr.errors import EmrError
from marketlake.emr.packing import cluster_jars, main_file, pack_application, pack_environment
from marketlake.emr.spark_submit import Artifacts
from marketlake.lake.s3_files import S3Files
from marketlake.settings.model import S3Settings

_CURRENT: Final = "current.json"
_PENDING: Final = "pending.json"


class Release(msgspec.Struct, frozen=True):
    """Code that was released, by addresses that hold digests.

    Attributes
    ----------
    number : int
        Counts the releases of a deployment from 1.
    environment_sha256 : str
        Of the environment's archive, for the nodes to check.
    at, by : str
        When, UTC; and the ARN of who.
    """

    number: int
    environment: str
    environment_sha256: str
    application: str
    main: str
    jars: tuple[str, ...]
    at: str
    by: str

    @property
    def artifacts(self) -> Artifacts:
        """The same, as a command line needs it."""
        return Artifacts(self.environment, self.application, self.main, self.jars)

    def is_code_of(self, other: Release | None) -> bool:
        """Tell whether two releases are the same code."""
        return other is not None and self.artifacts == other.artifacts


def publish(
    store: Store, checkout: Path, who: str, *, environment: Path | None, application: Path | None
) -> Release:
    """Bring the code of a checkout to the artifacts bucket; no job runs it yet.

    Parameters
    ----------
    environment, application : Path, optional
        Archives made before; packed now where they are not given.

    Returns
    -------
    Release
        Numbered 0: it is none yet.
    """
    folder = checkout / ".cache" / "emr"
    if environment is None:
        environment = pack_environment(folder).path
    if application is None:
        application = pack_application(folder).path
    for file in (environment, application):
        if not file.is_file():
            raise EmrError(f"{file} is no archive: make it with scripts/package")
    environment_digest, digest = sha256_of(environment), sha256_of(application)
    return Release(
        number=0,
        environment=store.upload(environment, f"environments/{environment_digest}.tar.gz"),
        environment_sha256=environment_digest,
        application=store.upload(application, f"applications/{digest}.tar.gz"),
        main=store.upload(main_file(), f"applications/{digest}/main.py"),
        jars=tuple(
            store.upload(jar, f"jars/{sha256_of(jar)}-{jar.name}") for jar in cluster_jars()
        ),
        at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ"),
        by=who,
    )


class Releases:
    """The releases of a deployment.

    Parameters
    ----------
    bucket, account : str
        The artifacts bucket, and who owns it.
    """

    def __init__(self, bucket: str, account: str) -> None:
        self._place = S3Files(bucket, "releases", S3Settings(bucket_owner=account))

    def current(self) -> Release | None:
        """Give the release that jobs run; None before the first."""
        found = self._place.get(_CURRENT)
        return None if found is None else msgspec.json.decode(found.data, type=Release)

    def required(self) -> Release:
        """Give the release that jobs run.

        Raises
        ------
        EmrError
            If there is none.
        """
        current = self.current()
        if current is None:
            raise EmrError("no code was released there yet: run scripts/deploy-emr.sh deploy")
        return current

    def of_number(self, number: int) -> Release:
        """Give a release of before.

        Raises
        ------
        EmrError
            If there was none of that number.
        """
        found = self._place.get(f"{number:06d}.json")
        if found is None:
            raise EmrError(f"there was no release {number}; info tells the present one")
        return msgspec.json.decode(found.data, type=Release)

    def pending(self) -> bytes | None:
        """Give the note of a release that was begun and has not ended."""
        found = self._place.get(_PENDING)
        return None if found is None else found.data

    def set_pending(self, note: bytes) -> None:
        """Note that a release has begun."""
        self._place.write(_PENDING, note)

    def forget_pending(self) -> None:
        """Note that it has ended."""
        self._place.delete([_PENDING])

    def make_current(self, release: Release) -> Release:
        """Let jobs run this code from now on; the same code again is no release.

        Returns
        -------
        Release
            With its number.
        """
        former = self.current()
        if release.is_code_of(former):
            assert former is not None
            return former
        number = 1 if former is None else former.number + 1
        numbered = msgspec.structs.replace(release, number=number)
        data = msgspec.json.encode(numbered)
        # Its own record first: whatever is current can be found again by its number.
        self._place.write(f"{number:06d}.json", data)
        self._place.write(_CURRENT, data)
        return numbered
