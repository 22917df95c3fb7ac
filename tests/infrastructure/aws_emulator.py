"""AWS on this machine: moto's server, and what it lacks for our clusters, budgets and alarms.

``python -m tests.infrastructure.aws_emulator --port 5555`` runs it. moto answers 500 to an action
that it does not have; each one here is a handler that is registered with moto's own class of
responses, and moto itself stays as it is. ``emulated_emr.py`` says how clusters and steps behave.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

# Before moto is imported: it reads them then. Policies of AWS's own are there, and no rights asked.
os.environ.setdefault("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
os.environ.setdefault("INITIAL_NO_AUTH_ACTION_COUNT", "1000000000")

from moto.budgets.responses import BudgetsResponse
from moto.core.responses import EmptyResult
from moto.ec2.exceptions import (
    InvalidPermissionNotFoundError,
    InvalidSecurityGroupRuleIdNotFoundError,
)
from moto.ec2.responses.security_groups import SecurityGroups
from moto.emr.responses import ElasticMapReduceResponse
from moto.kinesis.responses import KinesisResponse
from moto.server import main as moto_server

from tests.infrastructure.emulated_budgets import budget_handlers
from tests.infrastructure.emulated_emr import emr_handlers

# --- streams --------------------------------------------------------------------------------------


def _create_stream(self: KinesisResponse) -> EmptyResult:
    """Create a stream with its tags, which moto leaves out."""
    name = self._get_param("StreamName")
    self.kinesis_backend.create_stream(
        name, self._get_param("ShardCount"), stream_mode=self._get_param("StreamModeDetails")
    )
    self.kinesis_backend.add_tags_to_stream(None, name, self._get_param("Tags") or {})
    return EmptyResult()


# --- security groups ------------------------------------------------------------------------------


def _setting_descriptions_apart(name: str) -> Callable[[Any], Any]:
    """Keep what a rule says of itself, and let it tell no two rules apart, as on AWS.

    moto keeps it for addresses alone, and takes two rules of a group that differ in nothing else
    for two: what EMR adds to a group of its service would stand beside ours.
    """
    answer = getattr(SecurityGroups, name)

    def handler(self: SecurityGroups) -> Any:
        given = [
            item
            for permission in self._get_param("IpPermissions", [])
            for item in (
                *permission.get("UserIdGroupPairs", []),
                *permission.get("PrefixListIds", []),
            )
        ]
        descriptions = [item.pop("Description", None) for item in given]
        result = answer(self)
        for rule, description in zip(
            result._result["SecurityGroupRules"], descriptions, strict=False
        ):
            rule.ip_range = {"Description": description}
        return result

    return handler


def _telling_unknown_rules(name: str) -> Callable[[Any], Any]:
    """Say it in AWS's word, by which Terraform knows that a call tried again had its effect."""
    answer = getattr(SecurityGroups, name)

    def handler(self: SecurityGroups) -> Any:
        try:
            return answer(self)
        except InvalidPermissionNotFoundError:
            if rules := self._get_param("SecurityGroupRuleIds"):
                raise InvalidSecurityGroupRuleIdNotFoundError(rules[0]) from None
            raise

    return handler


def register() -> None:
    """Give moto's responses the actions that it lacks."""
    for response, handlers in (
        (ElasticMapReduceResponse, emr_handlers()),
        (BudgetsResponse, budget_handlers()),
        (
            SecurityGroups,
            {
                name: _setting_descriptions_apart(name)
                for name in ("authorize_security_group_egress", "authorize_security_group_ingress")
            }
            | {
                name: _telling_unknown_rules(name)
                for name in ("revoke_security_group_egress", "revoke_security_group_ingress")
            },
        ),
        (KinesisResponse, {"create_stream": _create_stream}),
    ):
        for name, handler in handlers.items():
            setattr(response, name, handler)


def main() -> None:
    """Run the server; the arguments are moto's."""
    register()
    moto_server()


if __name__ == "__main__":
    main()
