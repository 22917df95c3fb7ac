"""Backups of what is in no code and no stream: configuration, notebooks, reference tables.

A backup is a folder of the backup bucket with a manifest of digests, written last: what has no
manifest is no backup. Lake and streams have their own ways (versions, replay, bronze).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from marketlake.emr.deployment import Deployment
from marketlake.emr.errors import EmrError
from marketlake.lake.s3_files import S3Files
from marketlake.lake.storage import Storage
from marketlake.settings.model import S3Settings

_MANIFEST: Final = "manifest.json"
_STATES: Final = ("data.tfstate", "cluster.tfstate")
_REFERENCE: Final = "reference/"
"""Folder of a lake with tables that people keep: anything there is taken."""


class BackupFile(msgspec.Struct, frozen=True):
    """A file of a backup: its path there, and what it must hold."""

    path: str
    sha256: str
    size_bytes: int


class BackupManifest(msgspec.Struct, frozen=True):
    """What a backup holds; ``deployment`` is its name, ``at`` UTC."""

    name: str
    deployment: str
    at: str
    by: str
    files: list[BackupFile]


def back_up(deployment: Deployment, config: Path | None) -> BackupManifest:
    """Make a backup.

    Parameters
    ----------
    config : Path, optional
        The file of settings in use.
    """
    name = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    place = _place(deployment)
    files = []
    for path, data in _contents(deployment, config):
        place.write(f"{name}/{path}", data)
        files.append(BackupFile(path, hashlib.sha256(data).hexdigest(), len(data)))
        deployment.report.say(f"{path} ({len(data):,} bytes)")
    at, who = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ}", deployment.aws.identity[1]
    manifest = BackupManifest(name, deployment.prefix, at, who, files)
    place.write(f"{name}/{_MANIFEST}", msgspec.json.encode(manifest))
    deployment.report.say(f"backup {name}: {len(files)} files in {place.path(name)}")
    deployment.report.fact(backup=name, files=len(files))
    return manifest


def backups(deployment: Deployment) -> list[str]:
    """Name the backups that are whole, the oldest first."""
    place = _place(deployment)
    return [name for name in place.folders("") if place.size(f"{name}/{_MANIFEST}") >= 0]


def restore(deployment: Deployment, name: str | None, to: Path) -> BackupManifest:
    """Bring a backup to a folder of this machine, and see that each file is what it was.

    Parameters
    ----------
    name : str or None
        None for the latest.
    to : Path
        Folder that must not exist, or be empty.

    Raises
    ------
    EmrError
        If there is none, or a file is not what the manifest says; nothing is restored then.
    """
    if to.exists() and any(to.iterdir()):
        raise EmrError(f"{to} is not empty: name another folder")
    known = backups(deployment)
    chosen = name or (known[-1] if known else None)
    if chosen is None or chosen not in known:
        raise EmrError(f"no backup {name or ''} there; there are: {', '.join(known) or 'none'}")
    place = _place(deployment)
    manifest = msgspec.json.decode(place.read(f"{chosen}/{_MANIFEST}"), type=BackupManifest)
    contents = {}
    for file in manifest.files:
        data = place.read(f"{chosen}/{file.path}")
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise EmrError(
                f"{place.path(f'{chosen}/{file.path}')} is not what was backed up: take another "
                "backup, or an older version of the object"
            )
        contents[file.path] = data
    for path, data in contents.items():
        target = to / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    deployment.report.say(f"backup {chosen} of {manifest.at}: {len(contents)} files in {to}")
    deployment.report.fact(backup=chosen, files=len(contents))
    return manifest


def put_back_reference(deployment: Deployment, folder: Path) -> int:
    """Bring restored reference tables to the lake.

    Returns
    -------
    int
        How many files that were.

    Raises
    ------
    EmrError
        If the lake has such tables: two of a kind must not be mixed.
    """
    lake = _lake(deployment)
    if any(True for _ in lake.files.walk(_REFERENCE)):
        raise EmrError(f"{lake.path(_REFERENCE)} is not empty: remove what is there first")
    files = [path for path in sorted((folder / "lake").rglob("*")) if path.is_file()]
    for path in files:
        lake.write(path.relative_to(folder / "lake").as_posix(), path.read_bytes())
    deployment.report.say(f"{len(files)} files put back below {lake.path(_REFERENCE)}")
    return len(files)


def _contents(deployment: Deployment, config: Path | None) -> Iterator[tuple[str, bytes]]:
    if config is not None:
        yield "configuration/settings.toml", config.read_bytes()
    yield "configuration/settings.json", deployment.all_settings.model_dump_json(indent=2).encode()
    for state in _STATES:
        found = deployment.place.get(state)
        if found is not None:
            yield f"configuration/{state}", found.data
    artifacts = S3Files(
        deployment.required("data", "artifacts_bucket"),
        "",
        S3Settings(bucket_owner=deployment.account),
    )
    for folder in ("releases", "notebooks", "zeppelin"):
        for file in artifacts.walk(folder):
            yield f"artifacts/{file.path}", artifacts.read(file.path)
    notebooks = deployment.checkout / "notebooks"
    for path in sorted(notebooks.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield f"notebooks/{path.relative_to(notebooks).as_posix()}", path.read_bytes()
    lake = _lake(deployment)
    for file in lake.files.walk(_REFERENCE):
        yield f"lake/{file.path}", lake.read(file.path)


def _lake(deployment: Deployment) -> Storage:
    owner = S3Settings(bucket_owner=deployment.account)
    return Storage(deployment.required("data", "lake_uri"), owner)


def _place(deployment: Deployment) -> S3Files:
    bucket = deployment.required("data", "backup_bucket")
    return S3Files(bucket, "backups", S3Settings(bucket_owner=deployment.account))
