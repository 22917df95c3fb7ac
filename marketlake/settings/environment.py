"""The environment variables that place things on this machine, read nowhere else."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path


def _path(name: str) -> Path | None:
    """Give the variable as a path with ``~`` expanded, or None where it is unset or empty."""
    text = os.environ.get(name, "").strip()
    return Path(text).expanduser() if text else None


def java_home() -> Path | None:
    """Give ``JAVA_HOME``, the Java that the user prefers, or None where it is unset."""
    return _path("JAVA_HOME")


def cache_dir() -> Path:
    """Give the folder for what can be fetched again.

    ``MARKETLAKE_CACHE``, else ``marketlake`` below ``XDG_CACHE_HOME``, else below ``~/.cache``.
    The folder is absolute and need not exist yet.
    """
    chosen = _path("MARKETLAKE_CACHE")
    if chosen is None:
        chosen = (_path("XDG_CACHE_HOME") or Path.home() / ".cache") / "marketlake"
    return chosen.absolute()


def jars_dir() -> Path | None:
    """Give ``MARKETLAKE_JARS``, a folder of jars laid out one subfolder a group, or None.

    Set on machines without a way to Maven Central; ``python -m marketlake.local.jars --to DIR``
    makes such a folder on a machine that has one.
    """
    chosen = _path("MARKETLAKE_JARS")
    return None if chosen is None else chosen.absolute()


def data_dir() -> Path | None:
    """Give ``MARKETLAKE_DATA``, the folder of recorded data sets, or None where it is unset."""
    chosen = _path("MARKETLAKE_DATA")
    return None if chosen is None else chosen.absolute()


def terraform_mirror() -> Path | None:
    """Give ``MARKETLAKE_TERRAFORM_MIRROR``, a folder with Terraform's provider, or None."""
    chosen = _path("MARKETLAKE_TERRAFORM_MIRROR")
    return None if chosen is None else chosen.absolute()


def for_child(extra: Mapping[str, str]) -> dict[str, str]:
    """Give the environment of this process with some variables more, for one it starts."""
    return {**os.environ, **extra}


def set_for_all(variables: Mapping[str, str]) -> None:
    """Set variables for this process, its libraries, and all that it starts."""
    os.environ.update(variables)


def aws_endpoint() -> str | None:
    """Give ``AWS_ENDPOINT_URL``, which sends every AWS tool elsewhere than to AWS, or None."""
    return os.environ.get("AWS_ENDPOINT_URL") or None


def aws_region() -> str | None:
    """Give ``AWS_REGION``, else ``AWS_DEFAULT_REGION``, or None where both are unset.

    Most AWS tools read the first, boto3 the second only.
    """
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None


def alpaca_credentials() -> tuple[str, str] | None:
    """Give ``APCA_API_KEY_ID`` and ``APCA_API_SECRET_KEY``, Alpaca's own names; None without both.

    They are secret: not to be kept in settings, logged or shown.
    """
    key, secret = (os.environ.get(f"APCA_API_{name}", "") for name in ("KEY_ID", "SECRET_KEY"))
    return (key, secret) if key and secret else None


def under_spark_submit() -> bool:
    """Tell whether spark-submit started this process: master and jars are the cluster's then."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def unknown_variables(prefix: str, known: Iterable[str]) -> list[str]:
    """Name the variables that begin with the prefix but belong to nothing known.

    Parameters
    ----------
    known
        Names behind the prefix; ``NAME__anything`` belongs to ``NAME``.
    """
    names = {name.upper() for name in known}
    return sorted(
        variable
        for variable in os.environ
        if variable.startswith(prefix)
        and variable.removeprefix(prefix).partition("__")[0] not in names
    )
