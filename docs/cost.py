"""Writes docs/cost.md, what an environment costs a month, from docs/cost.toml.

``python docs/cost.py`` writes it, ``--check`` says whether it is out of date and exits 1.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).resolve().parent
PAGE: Final = FOLDER / "cost.md"

INTERFACE_ENDPOINTS: Final = 8
"""Of module network."""

_INTRO: Final = (
    "US dollars, list prices of us-east-1, without tax and discounts. An estimate, for the size of "
    "things: the weekly check and the budget tell what it did cost."
)
_ALL_DAY: Final = (
    "A dev cluster that nobody ends costs {:,.0f} a month: a running stream is never idle, so "
    "auto-termination does not see it, and the budget does."
)
_HANGS_ON: Final = (
    "**What it hangs on.** Requests to S3 go with the number of batches, not of messages: a longer "
    "`stream.trigger_ms` is the cheapest saving. Interface endpoints are paid by zone and hour, "
    "cluster or none. Spot is for task nodes alone; it may be dearer, or not be had."
)


def month_usd(
    env: Mapping[str, Any], prices: Mapping[str, float], assumed: Mapping[str, float]
) -> dict[str, float]:
    """Reckon the parts of a month's cost.

    Parameters
    ----------
    env : mapping
        An environment of cost.toml.
    prices, assumed : mapping of str to float
        US dollars a unit, and the assumptions, by name.

    Returns
    -------
    dict of str to float
        US dollars by part.
    """
    hours, month = env["cluster_hours"], assumed["hours_month"]
    seconds = month * 3600
    # A dev cluster that is gone reads nothing, but messages go on coming.
    messages = env["messages_s"] * seconds
    gb_in = messages * assumed["message_bytes"] / 1e9
    gb_read = gb_in * hours / month
    stored = messages * assumed["stored_bytes"] / 1e9 * hours / month
    requests = hours * 3600 / env["batch_s"] * assumed["requests_batch"] / 1000
    nodes = 1 + env["core_nodes"] + env["task_nodes"]

    def node(kind: str, share: float = 1.0) -> float:
        return prices[f"{kind}_hour"] * share + prices[f"{kind}_emr_hour"]

    return {
        "Master": hours * node("m5_xlarge"),
        "Core nodes": hours * env["core_nodes"] * node(env["core"]),
        "Task nodes, spot": hours * env["task_nodes"] * node(env["task"], assumed["spot_share"]),
        "Disks": nodes * env["disk_gb_node"] * hours / month * prices["gp3_gb_month"],
        "Streams": _streams(env, prices, month, messages, gb_in, gb_read),
        "Lake, stored": _stored(stored, env["stored_months"], prices),
        "Lake, requests": requests
        * (
            assumed["put_share"] * prices["s3_put_1000"]
            + (1 - assumed["put_share"]) * prices["s3_get_1000"]
        ),
        "Endpoints": env["endpoint_zones"] * INTERFACE_ENDPOINTS * month * prices["endpoint_hour"]
        + gb_read * prices["endpoint_gb"],
        "Keys": 2 * prices["kms_key_month"],
        "Alarms, metrics, logs": env["alarms"] * prices["alarm_month"]
        + env["metrics"] * prices["metric_month"]
        + prices["dashboard_month"]
        + env["logs_gb"] * prices["logs_gb"],
    }


def _streams(
    env: Mapping[str, Any],
    prices: Mapping[str, float],
    month: float,
    messages: float,
    gb_in: float,
    gb_read: float,
) -> float:
    if "shards" in env:
        # A message is one record, and less than a unit.
        units = messages / 1e6
        return (
            env["shards"] * month * prices["kinesis_shard_hour"]
            + units * prices["kinesis_units_million"]
        )
    kept = gb_in / (month / 24) * 6
    return (
        env["streams"] * month * prices["kinesis_stream_hour"]
        + gb_in * prices["kinesis_in_gb"]
        + gb_read * prices["kinesis_out_gb"]
        + kept * prices["kinesis_week_gb_month"]
    )


def _stored(gb_month: float, months: int, prices: Mapping[str, float]) -> float:
    """Price what so many months have left, of which all but the newest is seldom read."""
    older = gb_month * (months - 1)
    return gb_month * prices["s3_standard_gb_month"] + older * prices["s3_infrequent_gb_month"]


def page() -> str:
    """Write the page."""
    known = tomllib.loads((FOLDER / "cost.toml").read_text(encoding="utf-8"))
    prices = {name: entry["usd"] for name, entry in known["prices"].items()}
    assumed = {name: entry["value"] for name, entry in known["assumptions"].items()}
    environments = known["environments"]
    costs = {name: month_usd(env, prices, assumed) for name, env in environments.items()}
    lines = [
        "# What it costs a month",
        "",
        "<!-- Made by docs/cost.py from docs/cost.toml: change that, then run it. -->",
        "",
        _INTRO,
        "",
        "| part | " + " | ".join(costs) + " |",
        "| --- |" + " ---: |" * len(costs),
    ]
    lines += [
        f"| {part} | " + " | ".join(f"{c[part]:,.0f}" for c in costs.values()) + " |"
        for part in next(iter(costs.values()))
    ]
    totals = " | ".join(f"**{sum(c.values()):,.0f}**" for c in costs.values())
    lines += [f"| **all** | {totals} |", ""]
    for name, env in environments.items():
        lines += [f"**{name}.** {env['text']}", ""]
    hours = environments["prod"]["cluster_hours"]
    all_day = sum(
        month_usd({**environments["dev"], "cluster_hours": hours}, prices, assumed).values()
    )
    lines += [
        _ALL_DAY.format(all_day),
        "",
        _HANGS_ON,
        "",
        "## Assumptions",
        "",
        "| assumed | value |",
        "| --- | ---: |",
        *(f"| {entry['text']} | {entry['value']} |" for entry in known["assumptions"].values()),
        "",
        "| | " + " | ".join(environments) + " |",
        "| --- |" + " ---: |" * len(environments),
    ]
    for key in dict.fromkeys(key for env in environments.values() for key in env if key != "text"):
        lines.append(
            f"| `{key}` | "
            + " | ".join(str(env.get(key, "")) for env in environments.values())
            + " |"
        )
    lines += [
        "",
        "## Prices",
        "",
        "| what | US dollars | a | known for |",
        "| --- | ---: | --- | --- |",
    ]
    lines += [
        f"| {entry['what']} | {entry['usd']} | {entry['unit']} | {entry['as_of']} |"
        for entry in known["prices"].values()
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if out of date")
    if parser.parse_args(arguments).check:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page():
            return 0
        print(f"{PAGE.name} is out of date: run python docs/cost.py", file=sys.stderr)
        return 1
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
