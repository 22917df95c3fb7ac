"""What EMR is told: from the settings of the code, and never two things of one."""

from __future__ import annotations

import json

import pytest

from marketlake.emr.configurations import as_json, cluster_configurations
from marketlake.lake.session import DEFAULTS
from marketlake.settings.model import Settings, SettingsError, load_settings


def properties(settings: Settings) -> dict[str, dict[str, str]]:
    made = cluster_configurations(settings)
    names = [item["Classification"] for item in made]
    assert len(names) == len(set(names)), "EMR refuses a classification that comes twice"
    return {item["Classification"]: item["Properties"] for item in made}


def test_a_laptops_defaults_hold_on_a_cluster_but_for_what_is_other_peoples() -> None:
    spark = properties(load_settings())["spark-defaults"]
    differ = {key for key, value in DEFAULTS.items() if spark[key] != value}
    # Our own sessions set it off for themselves; notebooks have it.
    assert differ == {"spark.sql.adaptive.enabled"}


def test_the_cluster_grows_from_one_executor_to_eight() -> None:
    spark = properties(load_settings())["spark-defaults"]
    assert spark["spark.dynamicAllocation.enabled"] == "true"
    assert spark["spark.dynamicAllocation.minExecutors"] == "1"
    assert spark["spark.dynamicAllocation.maxExecutors"] == "8"
    assert spark["spark.serializer"] == "org.apache.spark.serializer.KryoSerializer"


def test_sizes_come_from_the_settings(tmp_path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("[cluster]\nmax_executors = 3\nexecutor_heap_mb = 4000\nmaster_attempts = 2\n")
    made = properties(load_settings(file))
    assert made["spark-defaults"]["spark.dynamicAllocation.maxExecutors"] == "3"
    assert made["spark-defaults"]["spark.executor.memory"] == "4000m"
    # YARN's own limit would cut Spark's.
    assert made["spark-defaults"]["spark.yarn.maxAppAttempts"] == "2"
    assert made["yarn-site"]["yarn.resourcemanager.am.max-attempts"] == "2"


def test_a_driver_and_an_executor_fill_an_m5_large() -> None:
    spark = properties(load_settings())["spark-defaults"]
    parts = [
        spark[f"spark.{who}.{what}"]
        for who in ("driver", "executor")
        for what in ("memory", "memoryOverhead")
    ]
    # yarn.nodemanager.resource.memory-mb of an m5.large, from EMR's release guide.
    assert sum(int(part.removesuffix("m")) for part in parts) == 6_144


def test_nothing_of_s3_is_found_but_the_profile_of_the_node() -> None:
    core = properties(load_settings())["core-site"]
    assert core["fs.s3a.aws.credentials.provider"].endswith(".IAMInstanceCredentialsProvider")
    assert "key" not in as_json(cluster_configurations(load_settings())).lower()


def test_application_masters_stay_off_spot() -> None:
    yarn = properties(load_settings())["yarn-site"]
    assert yarn["yarn.node-labels.enabled"] == "true"
    assert yarn["yarn.node-labels.am.default-node-label-expression"] == "CORE"


def test_glue_only_where_it_is_asked_for(tmp_path) -> None:
    assert "spark-hive-site" not in properties(load_settings())
    file = tmp_path / "settings.toml"
    file.write_text("[cluster]\nglue_catalog = true\n")
    glue = properties(load_settings(file))["spark-hive-site"]
    assert "AWSGlueDataCatalog" in glue["hive.metastore.client.factory.class"]


def test_the_file_is_what_emr_takes_and_the_same_each_time() -> None:
    text = as_json(cluster_configurations(load_settings()))
    assert text == as_json(cluster_configurations(load_settings()))
    for item in json.loads(text):
        assert set(item) == {"Classification", "Properties"}
        assert all(isinstance(value, str) for value in item["Properties"].values())


def test_limits_that_contradict_each_other_are_refused(tmp_path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("[cluster]\nmin_executors = 9\n")
    with pytest.raises(SettingsError, match="min_executors is more than max_executors"):
        load_settings(file)
