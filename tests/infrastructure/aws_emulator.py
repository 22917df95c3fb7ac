"""AWS on this machine: moto's server, and what it lacks for our clusters, budgets and alarms.

``python -m tests.infrastructure.aws_emulator --port 5555`` runs it. moto answers 500 to an action
that it does not have; each one here is a handler that is registered with moto's own class of
responses, and moto itself stays as it is. A cluster is WAITING at once. A step runs for
``EMULATOR_STEP_S`` seconds and completes; one of ``false`` fails, and one that names the job
``stream`` runs until it is cancelled.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

# Before moto is imported: it reads them then. Policies of AWS's own are there, and no rights asked.
os.environ.setdefault("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
os.environ.setdefault("INITIAL_NO_AUTH_ACTION_COUNT", "1000000000")

from moto.budgets.models import budgets_backends
from moto.budgets.responses import BudgetsResponse
from moto.core.responses import ActionResult, BaseResponse, EmptyResult
from moto.core.utils import utcnow
from moto.ec2.exceptions import (
    InvalidPermissionNotFoundError,
    InvalidSecurityGroupRuleIdNotFoundError,
)
from moto.ec2.responses.security_groups import SecurityGroups
from moto.emr.exceptions import InvalidRequestException
from moto.emr.models import Cluster, Step
from moto.emr.responses import ElasticMapReduceResponse
from moto.kinesis.responses import KinesisResponse
from moto.server import main as moto_server

_LONG_RUNNING = "stream"
_ENDED = {"COMPLETED", "FAILED", "CANCELLED", "INTERRUPTED"}


def _step_seconds() -> float:
    return float(os.environ.get("EMULATOR_STEP_S", "1"))


# --- steps ----------------------------------------------------------------------------------------


def _advance(cluster: Cluster) -> None:
    """Let time pass for the steps of a cluster: one after the other, as on EMR."""
    free_from: datetime | None = None
    for step in cluster.steps:
        if step.state in _ENDED:
            free_from = step.end_date_time or free_from
            continue
        now = utcnow()
        if step.start_date_time is None:
            step.start_date_time = max(step.creation_date_time, free_from or now)
            step.state = "RUNNING"
        end = step.start_date_time + timedelta(seconds=_step_seconds())
        if _LONG_RUNNING in step.args or now < end:
            step.state = "RUNNING"
            if cluster.step_concurrency_level > 1:
                continue
            break
        failed = step.args[:1] == ["false"]
        step.state = "FAILED" if failed else "COMPLETED"
        step.end_date_time = end  # type: ignore[assignment]
        free_from = end
    if cluster.state in {"WAITING", "RUNNING"}:
        busy = any(step.state not in _ENDED for step in cluster.steps)
        cluster.state = "RUNNING" if busy else "WAITING"


def _first_advancing(name: str, parameter: str) -> Callable[[Any], Any]:
    answer = getattr(ElasticMapReduceResponse, name)

    def handler(self: ElasticMapReduceResponse) -> Any:
        cluster = self.backend.clusters.get(self._get_param(parameter))
        if cluster is not None:
            _advance(cluster)
        return answer(self)

    return handler


def add_job_flow_steps(self: ElasticMapReduceResponse) -> ActionResult:
    """Take steps, refusing those for a cluster that has ended, as EMR does."""
    cluster = self.backend.describe_cluster(self._get_param("JobFlowId"))
    added: list[Step] = []
    for details in self._get_param("Steps", []):
        step = Step(state="PENDING", **details)
        cluster.steps.append(step)
        added.append(step)
    _advance(cluster)
    return ActionResult({"StepIds": [step.id for step in added]})


def cancel_steps(self: ElasticMapReduceResponse) -> ActionResult:
    """Cancel steps that have not ended."""
    cluster = self.backend.describe_cluster(self._get_param("ClusterId"))
    _advance(cluster)
    answers = []
    for step in cluster.steps:
        if step.id not in self._get_param("StepIds", []):
            continue
        cancelled = step.state not in _ENDED
        if cancelled:
            step.state = "CANCELLED"
            step.end_date_time = utcnow()  # type: ignore[assignment]
        answers.append(
            {
                "StepId": step.id,
                "Status": "SUBMITTED" if cancelled else "FAILED",
                "Reason": "" if cancelled else f"the step is {step.state}",
            }
        )
    _advance(cluster)
    return ActionResult({"CancelStepsInfoList": answers})


# --- clusters -------------------------------------------------------------------------------------


def _run_job_flow(self: ElasticMapReduceResponse) -> ActionResult:
    """Start a cluster, with what moto leaves out of the request."""
    answer = _moto_run_job_flow(self)
    cluster = self.backend.clusters[answer._result["JobFlowId"]]
    cluster.__dict__ |= {
        "auto_termination": _plain(self._get_param("AutoTerminationPolicy")),
        "managed_scaling": _plain(self._get_param("ManagedScalingPolicy")),
        "log_encryption_kms_key_id": self._get_param("LogEncryptionKmsKeyId"),
        "scale_down_behavior": self._get_param("ScaleDownBehavior")
        or "TERMINATE_AT_TASK_COMPLETION",
    }
    return answer


_moto_run_job_flow = ElasticMapReduceResponse.run_job_flow


# --- groups and fleets ----------------------------------------------------------------------------


def add_instance_groups(self: ElasticMapReduceResponse) -> ActionResult:
    """Add groups, and name them in the answer, which moto leaves out."""
    cluster = self.backend.describe_cluster(self._get_param("JobFlowId"))
    added = self.backend.add_instance_groups(cluster.id, self._get_param("InstanceGroups", []))
    return ActionResult(
        {
            "JobFlowId": cluster.id,
            "InstanceGroupIds": [group.id for group in added],
            "ClusterArn": cluster.arn,
        }
    )


def list_instance_fleets(self: ElasticMapReduceResponse) -> ActionResult:
    """Refuse, as EMR does for a cluster of groups: moto knows no other."""
    self.backend.describe_cluster(self._get_param("ClusterId"))
    raise InvalidRequestException("Instance fleets and instance groups are mutually exclusive.")


# --- scaling and termination ----------------------------------------------------------------------


def _kept(self: ElasticMapReduceResponse, name: str) -> Any:
    """Give what was put by that name for the cluster of this request, or None."""
    cluster = self.backend.describe_cluster(self._get_param("ClusterId"))
    return cluster.__dict__.get(name)


def _keep(self: ElasticMapReduceResponse, name: str, value: Any) -> EmptyResult:
    cluster = self.backend.describe_cluster(self._get_param("ClusterId"))
    cluster.__dict__[name] = value
    return EmptyResult()


def _plain(value: Any) -> Any:
    """Give a parameter as plain dicts: moto's know two spellings of each key."""
    if hasattr(value, "original_dict"):
        value = value.original_dict()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def put_auto_termination_policy(self: ElasticMapReduceResponse) -> EmptyResult:
    """Note after how long an idle cluster ends."""
    return _keep(self, "auto_termination", _plain(self._get_param("AutoTerminationPolicy")))


def get_auto_termination_policy(self: ElasticMapReduceResponse) -> ActionResult:
    """Give it."""
    policy = _kept(self, "auto_termination")
    return ActionResult({} if policy is None else {"AutoTerminationPolicy": policy})


def remove_auto_termination_policy(self: ElasticMapReduceResponse) -> EmptyResult:
    """Forget it."""
    return _keep(self, "auto_termination", None)


def put_managed_scaling_policy(self: ElasticMapReduceResponse) -> EmptyResult:
    """Note the limits of managed scaling."""
    return _keep(self, "managed_scaling", _plain(self._get_param("ManagedScalingPolicy")))


def get_managed_scaling_policy(self: ElasticMapReduceResponse) -> ActionResult:
    """Give them."""
    policy = _kept(self, "managed_scaling")
    return ActionResult({} if policy is None else {"ManagedScalingPolicy": policy})


def remove_managed_scaling_policy(self: ElasticMapReduceResponse) -> EmptyResult:
    """Forget them."""
    return _keep(self, "managed_scaling", None)


# --- budgets --------------------------------------------------------------------------------------


def _budget(self: BudgetsResponse) -> Any:
    account = self._get_param("AccountId")
    return self.backend.budgets[account][self._get_param("BudgetName")]


def update_budget(self: BudgetsResponse) -> str:
    """Put a new definition in the place of a budget's."""
    new = self._get_param("NewBudget")
    kept = self.backend.budgets[self._get_param("AccountId")][new["BudgetName"]]
    kept.budget.update(new)
    return json.dumps({})


def describe_subscribers_for_notification(self: BudgetsResponse) -> str:
    """Tell who hears of a notification."""
    asked = _comparable(self._get_param("Notification"))
    for notification in _budget(self).notifications:
        if _comparable(notification.details) == asked:
            return json.dumps({"Subscribers": notification.subscribers})
    return json.dumps({"Subscribers": []})


def _comparable(notification: dict[str, Any]) -> tuple[Any, ...]:
    keys = ("NotificationType", "ComparisonOperator", "Threshold")
    kind = notification.get("ThresholdType", "PERCENTAGE")
    return (*(notification.get(key) for key in keys), kind)


_budget_tags: dict[str, dict[str, str]] = {}


def _tag_budget(self: BudgetsResponse) -> str:
    tags = _budget_tags.setdefault(self._get_param("ResourceARN"), {})
    tags.update({tag["Key"]: tag["Value"] for tag in self._get_param("ResourceTags", [])})
    return json.dumps({})


def _untag_budget(self: BudgetsResponse) -> str:
    tags = _budget_tags.setdefault(self._get_param("ResourceARN"), {})
    for key in self._get_param("ResourceTagKeys", []):
        tags.pop(key, None)
    return json.dumps({})


def _tags_of_budget(self: BudgetsResponse) -> str:
    tags = _budget_tags.get(self._get_param("ResourceARN"), {})
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    return json.dumps({"ResourceTags": listed})


def _create_budget(self: BudgetsResponse) -> str:
    """Create a budget with its tags, which moto leaves out."""
    account, budget = self._get_param("AccountId"), self._get_param("Budget")
    budgets_backends[self.current_account][self.partition].create_budget(
        account_id=account,
        budget=budget,
        notifications=self._get_param("NotificationsWithSubscribers", []),
    )
    arn = f"arn:aws:budgets::{account}:budget/{budget['BudgetName']}"
    _budget_tags[arn] = {tag["Key"]: tag["Value"] for tag in self._get_param("ResourceTags", [])}
    return json.dumps({})


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


def _keeping_descriptions(name: str) -> Callable[[Any], Any]:
    """Keep what a rule says of itself: moto does so for addresses alone."""
    answer = getattr(SecurityGroups, name)

    def handler(self: SecurityGroups) -> Any:
        result = answer(self)
        for permission in self._get_param("IpPermissions", []):
            for rule in result._result["SecurityGroupRules"]:
                for given in (
                    *permission.get("UserIdGroupPairs", []),
                    *permission.get("PrefixListIds", []),
                ):
                    rule.ip_range = {"Description": given.get("Description")}
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
    emr = {
        function.__name__: function
        for function in (
            add_instance_groups,
            list_instance_fleets,
            add_job_flow_steps,
            cancel_steps,
            put_auto_termination_policy,
            get_auto_termination_policy,
            remove_auto_termination_policy,
            put_managed_scaling_policy,
            get_managed_scaling_policy,
            remove_managed_scaling_policy,
        )
    }
    emr["run_job_flow"] = _run_job_flow
    # moto finds the region in the name of the host alone, and a local one has none.
    emr["get_region_from_url"] = BaseResponse.get_region_from_url
    emr |= {
        name: _first_advancing(name, parameter)
        for name, parameter in (
            ("describe_cluster", "ClusterId"),
            ("describe_step", "ClusterId"),
            ("list_steps", "ClusterId"),
        )
    }
    budgets = {
        "create_budget": _create_budget,
        "update_budget": update_budget,
        "describe_subscribers_for_notification": describe_subscribers_for_notification,
        "tag_resource": _tag_budget,
        "untag_resource": _untag_budget,
        "list_tags_for_resource": _tags_of_budget,
    }
    for response, handlers in (
        (ElasticMapReduceResponse, emr),
        (BudgetsResponse, budgets),
        (
            SecurityGroups,
            {
                name: _keeping_descriptions(name)
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
