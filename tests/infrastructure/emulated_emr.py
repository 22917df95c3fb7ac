"""What moto lacks of EMR: steps that run and end, groups, scaling and termination.

A cluster is WAITING at once. A step runs for ``EMULATOR_STEP_S`` seconds and completes; one of
``false`` fails, and one that names the job ``stream`` runs until it is cancelled.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from moto.core.responses import ActionResult, BaseResponse, EmptyResult
from moto.core.utils import utcnow
from moto.emr.exceptions import InvalidRequestException
from moto.emr.models import Cluster, Step
from moto.emr.responses import ElasticMapReduceResponse

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


def emr_handlers() -> dict[str, Callable[[Any], Any]]:
    """Give the handlers by their names in moto's class."""
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
    return emr
