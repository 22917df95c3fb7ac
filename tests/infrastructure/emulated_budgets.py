"""What moto lacks of AWS Budgets: new definitions, who hears of them, tags."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from moto.budgets.models import budgets_backends
from moto.budgets.responses import BudgetsResponse


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


def budget_handlers() -> dict[str, Callable[[Any], Any]]:
    """Give the handlers by their names in moto's class."""
    return {
        "create_budget": _create_budget,
        "update_budget": update_budget,
        "describe_subscribers_for_notification": describe_subscribers_for_notification,
        "tag_resource": _tag_budget,
        "untag_resource": _untag_budget,
        "list_tags_for_resource": _tags_of_budget,
    }
