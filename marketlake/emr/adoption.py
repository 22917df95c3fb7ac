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

from marketlake.emr.aws import Aws, code_of, told
from marketlake.emr.deployment import Deployment, Root
from marketlake.emr.errors import EmrError
from marketlake.emr.finders import ABSENT, FINDERS, MADE_TWICE
from marketlake.emr.terraform import Change, Terraform

Owned = AbstractSet[tuple[str, str]]
"""Type and id of resources."""

_ALIVE: Final = "keep_job_flow_alive_when_no_steps"
_CONFIGURATIONS: Final = "configurations_json"
_ENDED: Final = frozenset({"TERMINATING", "TERMINATED", "TERMINATED_WITH_ERRORS"})


def take_over(deployment: Deployment, root: Root) -> dict[str, int]:
    """Take what a run that did not end left in AWS into the state of a root.

    Returns
    -------
    dict
        What is left to do, as :meth:`Terraform.plan` tells it of the plan that is kept.
    """
    others = deployment.data.state if root is deployment.cluster else deployment.cluster.state
    while True:
        complete(deployment.aws, root.terraform)
        counts = root.terraform.plan()
        changes = root.terraform.changes()
        say = deployment.report.say
        taken = adopt(deployment.aws, root.terraform, changes, others.owned(), say)
        root.state.push()
        if not taken:
            return counts
        # What stands in something that was taken over now, a subnet in its VPC, is found next.


def adopt(
    aws: Aws,
    terraform: Terraform,
    changes: list[Change],
    others: Owned,
    say: Callable[[str], None],
) -> int:
    """Take what a plan would make, and is there already, into the state.

    Parameters
    ----------
    others : set
        What other states own: it is there for them.

    Returns
    -------
    int
        How many were taken; where it is not 0, the plan is to be made again.
    """
    wanted = [c for c in changes if c.action == "create" and c.type in FINDERS]
    planned = terraform.planned() if wanted else {}
    taken = 0
    for change in wanted:
        identity = _found(aws, change.type, planned[change.address].values)
        if identity is None or _owned(change.type, identity, others):
            continue
        try:
            terraform.adopt(change.address, identity)
        except EmrError as error:
            # Terraform imports nothing that others of its kind, which are yet to be made, are named
            # beside. AWS refuses to make this one; it is looked for again when they are there.
            if change.type in MADE_TWICE:
                raise
            say(f"{error}; left for later")
            continue
        say(f"{change.address} is there already, left by a run that did not end: taken over")
        taken += 1
    return taken


def _found(aws: Aws, kind: str, values: Mapping[str, Any]) -> str | None:
    try:
        return FINDERS[kind](aws, values)
    except EmrError as error:
        if code_of(error) in ABSENT:
            return None
        raise


def _owned(kind: str, identity: str, others: Owned) -> bool:
    # Of a part of something the import asks for both ids, and the state keeps the part's.
    return not others.isdisjoint({(kind, identity), (kind, identity.rpartition("/")[2])})


def complete(aws: Aws, terraform: Terraform) -> bool:
    """Fill in what an import does not read, so that no plan takes it for a change.

    It looks at the state alone, not at what was taken now: a run may have been killed in between.

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
