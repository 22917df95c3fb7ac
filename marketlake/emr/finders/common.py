"""What finders share: their form, codes of what is absent, and what tells ours from others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from marketlake.emr.aws import Aws

Finder = Callable[[Aws, Mapping[str, Any]], str | None]
"""Gives the id by which Terraform imports what the values describe; None where it is absent."""

ABSENT: Final = frozenset(
    {
        "404",
        "NoSuchBucket",
        "NoSuchEntity",
        "NotFound",
        "ResourceNotFoundException",
        "NotFoundException",
        "InvalidRequestException",
        "InvalidGroup.NotFound",
    }
)
"""Codes by which AWS says that something is not there."""

_TELLING: Final = ("project", "environment", "Name")


def only(found: list[dict[str, Any]], key: str) -> str | None:
    """Give the id of the one thing that was found; None of several, which may be anybody's."""
    return str(found[0][key]) if len(found) == 1 else None


def telling_tags(values: Mapping[str, Any]) -> dict[str, str]:
    """Give the tags by which a thing without a name of its own is known for ours.

    Returns
    -------
    dict
        Empty where project or environment is not among its tags: nothing is ours for certain.
    """
    tags = {**(values.get("tags") or {}), **(values.get("tags_all") or {})}
    if not all(tags.get(name) for name in _TELLING[:2]):
        return {}
    return {name: str(tags[name]) for name in _TELLING if tags.get(name)}
