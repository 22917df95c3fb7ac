"""The estimate of costs: up to date, and reckoned as by hand."""

import importlib.util
from pathlib import Path

import pytest

from tests.infrastructure.deployments import CODE

_SCRIPT = Path(__file__).parents[2] / "docs" / "cost.py"

# Round figures, so that each part can be worked out with pen and paper.
_PRICES = {
    "m5_large_hour": 0.10,
    "m5_xlarge_hour": 0.10,
    "m5_large_emr_hour": 0.02,
    "m5_xlarge_emr_hour": 0.02,
    "gp3_gb_month": 0.08,
    "s3_standard_gb_month": 0.02,
    "s3_infrequent_gb_month": 0.01,
    "s3_put_1000": 0.005,
    "s3_get_1000": 0.0005,
    "kinesis_stream_hour": 0.04,
    "kinesis_in_gb": 0.08,
    "kinesis_out_gb": 0.04,
    "kinesis_week_gb_month": 0.10,
    "endpoint_hour": 0.01,
    "endpoint_gb": 0.01,
    "kms_key_month": 1.0,
    "alarm_month": 0.1,
    "metric_month": 0.3,
    "dashboard_month": 3.0,
    "logs_gb": 0.5,
}
_ASSUMED = {
    "hours_month": 720,
    "spot_share": 0.5,
    "message_bytes": 1000,
    "stored_bytes": 100,
    "requests_batch": 100,
    "put_share": 0.5,
}
_ENV = {
    "cluster_hours": 720,
    "core": "m5_large",
    "core_nodes": 2,
    "task": "m5_large",
    "task_nodes": 1,
    "disk_gb_node": 100,
    "streams": 4,
    "messages_s": 100,
    "batch_s": 10,
    "stored_months": 3,
    "endpoint_zones": 1,
    "alarms": 10,
    "metrics": 10,
    "logs_gb": 10,
}


@pytest.fixture(scope="module")
def cost():
    spec = importlib.util.spec_from_file_location("docs_cost", _SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(cost):
    assert cost.main(["--check"]) == 0


def test_by_hand(cost):
    parts = cost.month_usd(_ENV, _PRICES, _ASSUMED)
    # 720 h x 0.12; twice that for two nodes; 720 h x (0.05 + 0.02); 4 nodes x 100 GB x 0.08.
    assert parts["Master"] == pytest.approx(86.4)
    assert parts["Core nodes"] == pytest.approx(172.8)
    assert parts["Task nodes, spot"] == pytest.approx(50.4)
    assert parts["Disks"] == pytest.approx(32.0)
    # 100/s x 2,592,000 s x 1 kB = 259.2 GB. 4 x 720 x 0.04 = 115.2; in 20.736; out 10.368; of 30
    # days 6 kept beyond the first: 51.84 GB, 5.184.
    assert parts["Streams"] == pytest.approx(151.488)
    # 25.92 GB a month: the newest 0.5184, two older 0.5184.
    assert parts["Lake, stored"] == pytest.approx(1.0368)
    # 259,200 batches x 100 = 25,920 thousand, half at 0.005 and half at 0.0005.
    assert parts["Lake, requests"] == pytest.approx(71.28)
    # 8 x 720 x 0.01, and 259.2 GB x 0.01.
    assert parts["Endpoints"] == pytest.approx(60.192)
    assert parts["Keys"] == 2
    assert parts["Alarms, metrics, logs"] == pytest.approx(1 + 3 + 3 + 5)


def test_it_reckons_with_as_many_endpoints_as_the_network_has(cost):
    text = (CODE / "modules" / "network" / "variables.tf").read_text()
    named = text.split('variable "interface_endpoints"')[1].split("default = [")[1].split("]")[0]
    assert named.count('"') // 2 == cost.INTERFACE_ENDPOINTS


def test_budgets_leave_room_for_what_is_expected(cost):
    totals = {}
    for line in cost.page().splitlines():
        if line.startswith("| **all**"):
            numbers = [part.strip(" *").replace(",", "") for part in line.split("|")[2:4]]
            totals = dict(zip(("dev", "prod"), map(float, numbers), strict=True))
    for stage, total in totals.items():
        values = (CODE / "envs" / stage / "cluster" / "terraform.tfvars").read_text()
        budget = float(values.split("monthly_budget_usd = ")[1].split()[0])
        assert total < budget < 2.5 * total, (stage, total, budget)
