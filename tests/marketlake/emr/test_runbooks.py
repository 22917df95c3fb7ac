"""Every alarm of the monitoring module has a runbook of its name, and no runbook is of none."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
MODULES = ROOT / "infrastructure" / "terraform" / "modules"


def alarms() -> set[str]:
    """Names of the alarms, without what comes before; those of the streams share one runbook."""
    text = (MODULES / "monitoring" / "alarms.tf").read_text()
    # In the maps of alarms each is a key whose value begins with its text.
    keyed = set(re.findall(r"^\s+([a-z-]+) = \{\n\s+text\s+=", text, re.MULTILINE))
    named = set(re.findall(r'alarm_name\s+= "\$\{var\.prefix\}-([a-z-]+)"', text))
    by_stream = set(re.findall(r'"([a-z]+)-\$\{type\}" => \{', text))
    budget = (MODULES / "cost" / "main.tf").read_text()
    return keyed | named | by_stream | set(re.findall(r'\$\{var\.prefix\}-([a-z-]+)"', budget))


def test_each_alarm_has_its_runbook():
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    section = text.split("### Runbooks of the alarms\n")[1].split("\n### ")[0]
    runbooks = set(re.findall(r"^#### ([a-z-]+)$", section, re.MULTILINE))
    assert {"cpu", "lag", "quarantined", "monthly"} <= runbooks
    assert runbooks == alarms()
