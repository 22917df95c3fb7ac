"""Manifests: what a batch is, written before any table has it.

A batch is decided when its manifest stands: which messages it holds, which files they gave, with
digests, and which state they left. Whatever dies afterwards, recovery commits just these files.
"""

from __future__ import annotations

from typing import Final

import msgspec

from marketlake.lake.datafiles import DataFile
from marketlake.lake.errors import LakeError
from marketlake.lake.storage import Storage

STREAM: Final = "stream"
"""The streaming pipeline, as its folder of manifests is named."""

_VERSION: Final = 2


class ManifestInput(msgspec.Struct, frozen=True):
    """Where one input stood after a batch.

    Attributes
    ----------
    lane : str
        Lane that it shares with other inputs of its topic; empty where it is alone.
    """

    topic: str
    partition: int
    next_offset: int
    watermark_us: int
    latest_us: int
    active: bool
    lane: str = ""


class Manifest(msgspec.Struct, frozen=True):
    """One batch.

    Attributes
    ----------
    sequence : int
        Number of the batch, without gaps; the transaction version in every table.
    spark_batch : int
        Last batch of the Spark query that is contained, here or before; -1 before the first.
    source : str
        Names what is read; a lake belongs to one source.
    inputs : dict
        Every known input after this batch.
    state_files : dict
        The files that hold the state of each lane and bucket after this batch: one with all of it,
        then those with what changed.
    lane_changes : int
        How often, so far, inputs were joined to be folded together, or parted again.
    replaced_state_files : list
        Files that this batch's state takes the place of.
    """

    sequence: int
    kind: str
    spark_batch: int
    source: str
    ingest_time_us: int
    inputs: dict[str, ManifestInput]
    files: list[DataFile]
    state_files: dict[str, list[DataFile]]
    replaced_state_files: list[DataFile]
    counts: dict[str, dict[str, int]]
    lane_changes: int = 0
    version: int = _VERSION


class _Versioned(msgspec.Struct):
    version: int


class Manifests:
    """The manifests of one pipeline in a lake.

    Parameters
    ----------
    storage : Storage
        The lake.
    pipeline : str
        Name of the pipeline.
    """

    def __init__(self, storage: Storage, pipeline: str) -> None:
        self._storage = storage
        self.folder = f"_marketlake/{pipeline}/manifests"

    def path(self, sequence: int) -> str:
        """Path of the manifest of a batch, relative to the lake."""
        return f"{self.folder}/{sequence:012d}.json"

    def write(self, manifest: Manifest) -> None:
        """Write a manifest; this decides the batch."""
        self._storage.write_new(self.path(manifest.sequence), msgspec.json.encode(manifest))

    def read(self, sequence: int) -> Manifest:
        """Read the manifest of a batch.

        Raises
        ------
        LakeError
            If it cannot be read as one.
        """
        path = self.path(sequence)
        try:
            data = self._storage.read(path)
            version = msgspec.json.decode(data, type=_Versioned).version
            if version != _VERSION:
                raise LakeError(
                    f"manifest {self._storage.path(path)} has version {version}, this release "
                    f"reads {_VERSION}: run the release that wrote it, or start on a new lake"
                )
            return msgspec.json.decode(data, type=Manifest)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise LakeError(
                f"manifest {self._storage.path(path)} is damaged ({error}): "
                "restore it from a backup of the lake"
            ) from error

    def sequences(self) -> list[int]:
        """Numbers of all batches, ascending."""
        return [
            int(name.removesuffix(".json"))
            for name in self._storage.list(self.folder)
            if name.endswith(".json") and name.removesuffix(".json").isdigit()
        ]

    def last(self) -> Manifest | None:
        """Read the manifest of the last batch; None in a new lake."""
        sequences = self.sequences()
        return self.read(sequences[-1]) if sequences else None
