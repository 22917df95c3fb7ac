"""How what a plan would make is found where it is there already, by type of resource.

A type has a finder where making it again fails, its name being taken, or makes a second one. All
others of our roots are puts: made again they are what they were.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from marketlake.emr.aws import Aws, code_of
from marketlake.emr.errors import EmrError
from marketlake.emr.finders.clusters import CLUSTERS
from marketlake.emr.finders.common import ABSENT, Finder
from marketlake.emr.finders.named import NAMED
from marketlake.emr.finders.network import NETWORK

FINDERS: Final[Mapping[str, Finder]] = MappingProxyType({**NAMED, **NETWORK, **CLUSTERS})

MADE_TWICE: Final = frozenset(
    {
        "aws_emr_cluster",
        "aws_emr_instance_group",
        "aws_emrserverless_application",
        "aws_kms_key",
        "aws_route_table",
        "aws_vpc",
    }
)
"""Of these AWS makes a second one; of all others that have a finder it refuses to."""


def find(aws: Aws, kind: str, values: Mapping[str, Any]) -> str | None:
    """Find what a plan would make.

    Parameters
    ----------
    kind : str
        Type of the resource, one of ``FINDERS``.
    values : mapping
        What the plan knows of it.

    Returns
    -------
    str or None
        The id by which Terraform imports it; None where it is absent.
    """
    try:
        return FINDERS[kind](aws, values)
    except EmrError as error:
        if code_of(error) in ABSENT:
            return None
        raise


__all__ = ["FINDERS", "MADE_TWICE", "find"]
