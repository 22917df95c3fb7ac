"""Settings of a lake: where it is on S3, and its upkeep."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from marketlake.settings.section import Section


class S3Settings(Section):
    """A lake on S3.

    Endpoint, region and credentials are not set here: they are found as the AWS tools find them
    (`AWS_ENDPOINT_URL_S3`, `AWS_REGION`, `AWS_PROFILE`, the role of the machine).
    """

    bucket_owner: str | None = Field(None, pattern=r"^\d{12}$")
    """Account that must own the bucket: else nothing is read or written there."""
    encryption: Literal["AES256", "aws:kms", "aws:kms:dsse"] | None = None
    """How objects are encrypted; nothing for what the bucket itself says."""
    kms_key_id: str | None = None
    """Key for `aws:kms`; nothing for the account's own for S3."""
    bucket_key: bool = False
    """One data key for many objects (an S3 bucket key): far fewer requests to KMS."""
    lease_s: int = Field(60, ge=3, le=3_600)
    """A writer that has not renewed its lease for so long has lost it, and another may write."""

    @model_validator(mode="after")
    def _key_of_kms(self) -> S3Settings:
        kms = self.encryption is not None and self.encryption.startswith("aws:kms")
        if (self.kms_key_id is not None or self.bucket_key) and not kms:
            raise ValueError("kms_key_id and bucket_key need encryption = 'aws:kms'")
        return self


class MaintainSettings(Section):
    """Upkeep of the tables: which files are joined, and what is kept for how long."""

    target_mb: int = Field(128, ge=1, le=4_096)
    """Files of a partition are joined up to that size, in megabytes; larger ones stay."""
    min_files: int = Field(4, ge=2)
    """A partition with fewer small files stays as it is."""
    cluster: bool = False
    """Lay joined rows out by venue, instrument and time (Z-order), not in the order they came."""
    removed_hours: int = Field(168, ge=1)
    """Files that left a table stay so long for queries that began before; no query may take
    longer."""
    undecided_hours: int = Field(24, ge=1)
    """Files that nothing names stay so long: they may be those of a batch that is not decided
    yet. State that is no day's boundary stays as long."""
    manifest_days: int = Field(30, ge=1)
    """Manifests of all batches stay so long, older ones at the boundaries of days only."""
    boundary_days: int = Field(365, ge=1)
    """Manifests and state at the boundaries of days stay so long: a day can be computed again
    from where it began."""
    bronze_days: int | None = Field(None, ge=1)
    """Messages stay so long in bronze, by the date of the source's timestamp; nothing for ever.
    What is gone can be neither computed again nor reconciled."""
    log_days: int = Field(30, ge=1)
    """Commits stay so long in the tables' logs, behind a checkpoint."""
