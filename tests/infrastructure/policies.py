"""Who may do what, by IAM's own rules, from the documents that Terraform made.

moto judges neither resources nor conditions, and no library with a licence and an age that suit us
judges all of this, so the rules stand here: a Deny that fits wins, an Allow that fits allows, and
nothing else does. A condition that is not known here is an error, and not passed over.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def allows(
    documents: Iterable[Mapping[str, Any]],
    action: str,
    resource: str,
    context: Mapping[str, str] | None = None,
    *,
    service: str | None = None,
) -> bool:
    """Tell whether the policies together allow an action.

    Parameters
    ----------
    documents
        Policies, as IAM gives them.
    action : str
        ``s3:GetObject``.
    resource : str
        ARN.
    context : mapping, optional
        Keys of the request, such as ``s3:prefix``.
    service : str, optional
        Who asks, where the policies are those of a resource or a role's trust.
    """
    verdicts = [
        statement["Effect"]
        for document in documents
        for statement in _listed(document["Statement"])
        if _fits(statement, action, resource, context or {}, service)
    ]
    return "Allow" in verdicts and "Deny" not in verdicts


def _fits(
    statement: Mapping[str, Any],
    action: str,
    resource: str,
    context: Mapping[str, str],
    service: str | None,
) -> bool:
    unknown = set(statement) - {"Sid", "Effect", "Action", "Resource", "Condition", "Principal"}
    assert not unknown, f"{unknown} of a statement are not judged here"
    if not any(_like(action.lower(), text.lower()) for text in _listed(statement["Action"])):
        return False
    if "Principal" in statement:
        principal = statement["Principal"]
        assert set(principal) == {"Service"}, f"{principal} is not judged here"
        if service not in _listed(principal["Service"]):
            return False
    resources = _listed(statement.get("Resource", "*"))
    if not any(_like(resource, _filled(text, context)) for text in resources):
        return False
    return all(
        _holds(operator, key, _listed(expected), context)
        for operator, keys in statement.get("Condition", {}).items()
        for key, expected in keys.items()
    )


def _holds(operator: str, key: str, expected: list[str], context: Mapping[str, str]) -> bool:
    lowered = {name.lower(): value for name, value in context.items()}
    if operator == "Null":
        return (key.lower() not in lowered) == (str(expected[0]).lower() == "true")
    given = lowered.get(key.lower())
    for_all = operator.startswith("ForAllValues:")
    name = operator.removeprefix("ForAllValues:").removeprefix("ForAnyValue:")
    if given is None:
        return for_all
    if name not in _OPERATORS:
        raise NotImplementedError(f"{operator} is not judged here")
    return any(_OPERATORS[name](given, str(text)) for text in expected)


def _like(text: str, pattern: str) -> bool:
    # IAM knows * and ?, and no sets.
    return bool(re.fullmatch(fnmatch.translate(pattern.replace("[", "[[]")), text))


_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda given, expected: given == expected,
    "StringLike": _like,
    "ArnEquals": _like,
    "ArnLike": _like,
    "Bool": lambda given, expected: given.lower() == expected.lower(),
}


def _filled(text: str, context: Mapping[str, str]) -> str:
    return re.sub(r"\$\{([^}]+)\}", lambda found: context.get(found[1], "\0"), text)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]


def policies_of(iam: Any, role: str) -> list[Mapping[str, Any]]:
    """Read all policies of a role: those of its own, and those attached."""
    own = [
        iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
    ]
    attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    return own + [policy_document(iam, policy["PolicyArn"]) for policy in attached]


def policy_document(iam: Any, arn: str) -> Mapping[str, Any]:
    """Read a policy as it holds now."""
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    answer = iam.get_policy_version(PolicyArn=arn, VersionId=version)
    return answer["PolicyVersion"]["Document"]
