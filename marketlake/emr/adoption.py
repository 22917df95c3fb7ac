"""What a killed run made without writing it down: found, and taken into the state.

Terraform writes a resource into its state when AWS has answered. A process killed in between leaves
the resource without an owner, and the next run would meet it ("already exists"), or, of a cluster,
make and pay for a second one. This is only done after a run that did not end.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Any, Final

from marketlake.emr.aws import Aws, told
from marketlake.emr.deployment import Deployment, Root
from marketlake.emr.errors import EmrError
from marketlake.emr.finders import FINDERS, MADE_TWICE, find
from marketlake.emr.terraform import Change, Terraform

Owned = AbstractSet[tuple[str, str]]
"""Type and id of resources."""

_ALIVE: Final = "keep_job_flow_alive_when_no_steps"
_CONFIGURATIONS: Final = "configurations_json"
_ENDED: Final = frozenset({"TERMINATING", "TERMINATED", "TERMINATED_WITH_ERRORS"})


def take_over(deployment: Deployment, root: Root) -> dict[str, int]:
    """Plan a root so that it takes what a run that did not end left in AWS.

    It comes into the state where the plan is applied.

    Returns
    -------
    dict
        What else the plan that is kept would do, as :meth:`Terraform.plan` tells it.
    """
    others = deployment.data.state if root is deployment.cluster else deployment.cluster.state
    counts = adopt(deployment.aws, root.terraform, others.owned(), deployment.report.say)
    root.state.push()
    return counts


def take_into_state(deployment: Deployment, root: Root) -> None:
    """Take what was left into the state, and change nothing: a plan to destroy imports nothing."""
    take_over(deployment, root)
    root.terraform.take_planned_state()
    root.state.push()


def adopt(
    aws: Aws, terraform: Terraform, others: Owned, say: Callable[[str], None]
) -> dict[str, int]:
    """Plan with imports of all that the plan would make otherwise, and is there already.

    Parameters
    ----------
    others : set
        What other states own: it is there for them.

    Returns
    -------
    dict
        As :func:`take_over`.
    """
    imports: dict[Change, str] = {}
    refused: set[str] = set()
    complete(aws, terraform)
    while True:
        counts = _plan(terraform, imports, refused, say)
        # What stands in something that this plan imports, a subnet in its VPC, is found now.
        found = _found_in_plan(aws, terraform, others, refused)
        for change in found:
            say(f"{change.address} is there already, left by a run that did not end: taken over")
        if any(change.type in _UNREAD for change in imports):
            # Planned as it is read it would be replaced: it is completed in the state.
            terraform.take_planned_state()
            complete(aws, terraform)
            imports = {}
        elif not found:
            return counts
        imports |= found


def _plan(
    terraform: Terraform,
    imports: dict[Change, str],
    refused: set[str],
    say: Callable[[str], None],
) -> dict[str, int]:
    """Plan with imports; without those that cannot be, which are noted as refused."""
    while True:
        try:
            return terraform.plan(imports={c.address: identity for c, identity in imports.items()})
        except EmrError as error:
            named = [change for change in imports if change.address in str(error)]
            change = max(named, key=lambda change: len(change.address), default=None)
            # AWS refuses to make it again; it is looked for once more when that has failed.
            if change is None or change.type in MADE_TWICE:
                raise
            say(f"{change.address} cannot be taken over: {error}; left for later")
            del imports[change]
            refused.add(change.address)


def _found_in_plan(
    aws: Aws, terraform: Terraform, others: Owned, refused: AbstractSet[str]
) -> dict[Change, str]:
    """Find what the plan made last would make, and is there; give the ids to import it by."""
    wanted = [
        change
        for change in terraform.changes()
        if change.action == "create" and change.type in FINDERS and change.address not in refused
    ]
    planned = terraform.planned() if wanted else {}
    found = {c: find(aws, c.type, planned[c.address].values) for c in wanted}
    return {
        change: identity
        for change, identity in found.items()
        if identity is not None and not _owned(change.type, identity, others)
    }


def _owned(kind: str, identity: str, others: Owned) -> bool:
    # Of a part of something the import asks for both ids, and the state keeps the part's.
    return not others.isdisjoint({(kind, identity), (kind, identity.rpartition("/")[2])})


def complete(aws: Aws, terraform: Terraform) -> bool:
    """Fill in what an import does not read, so that no plan takes it for a change.

    It looks at all of the state, not at what was taken now: a run may have been killed in between.

    Returns
    -------
    bool
        True where the state was changed.
    """
    state = terraform.state()
    changed = False
    for resource in state.get("resources", []):
        fill = _UNREAD.get(resource["type"])
        if fill is not None and resource["mode"] == "managed":
            for instance in resource["instances"]:
                changed |= fill(aws, instance)
    if changed:
        terraform.replace_state({**state, "serial": state["serial"] + 1})
    return changed


def _fill_cluster(aws: Aws, instance: dict[str, Any]) -> bool:
    """Tell of a cluster what the provider notes when it makes one, and never asks for again.

    A cluster whose start was cut short is tainted, which means "to be replaced"; whether it started
    is EMR's to say, and is waited for after the apply.
    """
    noted = instance["attributes"]
    tainted = instance.get("status") == "tainted"
    if noted.get(_ALIVE) and noted.get(_CONFIGURATIONS) and not tainted:
        return False
    with told(f"describe cluster {noted['id']}"):
        cluster = aws.emr.describe_cluster(ClusterId=noted["id"])["Cluster"]
    # One that has ended is to be made anew.
    if cluster["Status"]["State"] in _ENDED:
        return False
    # The provider reads the configurations only where some are noted; then it does, so that one
    # which is not as asked shows as the change it is.
    said = {
        _ALIVE: not cluster["AutoTerminate"],
        _CONFIGURATIONS: noted.get(_CONFIGURATIONS) or json.dumps(cluster["Configurations"]),
    }
    if not tainted and said.items() <= noted.items():
        return False
    noted.update(said)
    instance.pop("status", None)
    return True


_UNREAD: Final[Mapping[str, Callable[[Aws, dict[str, Any]], bool]]] = MappingProxyType(
    {"aws_emr_cluster": _fill_cluster}
)
