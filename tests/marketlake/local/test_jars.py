"""Fetching jars: the pinned groups, and a small one through every state of the cache."""

import re
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from marketlake.local import jars
from marketlake.local.errors import LocalError
from marketlake.local.versions import BROKER, SPARK, Coordinate, JarGroup

# One small jar without needs of its own.
SMALL = JarGroup("small", (Coordinate("org.slf4j", "slf4j-api", "2.0.16"),))
CLOSED_PORT = "http://127.0.0.1:9"


def artifact(path: Path) -> str:
    """``org.group_artifact_2.13-1.0.jar`` to ``artifact_2.13``; Spark's own have no group."""
    name = re.sub(r"-\d+\.\d+.*\.jar$", "", path.name)
    return name.split("_", 1)[1] if "." in name.split("_", 1)[0] and "_" in name else name


@pytest.fixture
def own_cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MARKETLAKE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MARKETLAKE_JARS", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def small(own_cache) -> list[Path]:
    """Fetch the small group, or skip where there is no network."""
    try:
        return jars.jar_paths(SMALL)
    except LocalError as error:
        if "not found]" in str(error) and "Host" in str(error):
            pytest.skip("no network to Maven Central")
        raise


@pytest.fixture
def offline(monkeypatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, CLOSED_PORT)


def test_spark_jars_hold_what_was_asked_and_what_that_needs(spark_jars):
    names = {path.name for path in spark_jars}
    assert {f"{c.group}_{c.artifact}-{c.version}.jar" for c in SPARK.roots} <= names
    assert {artifact(path) for path in spark_jars} == {
        "delta-spark_2.13",
        "delta-storage",
        "spark-sql-kafka-0-10_2.13",
        "spark-token-provider-kafka-0-10_2.13",
        "kafka-clients",
        "commons-pool2",
    }


def test_no_jar_that_pyspark_ships_is_put_twice(spark_jars):
    shipped = Path(find_spec("pyspark").origin).parent / "jars"
    assert not {artifact(p) for p in spark_jars} & {artifact(p) for p in shipped.glob("*.jar")}


def test_the_brokers_class_path_holds_its_main_class():
    paths = jars.broker_classpath()
    kafka = next(p for p in paths if artifact(p) == BROKER.roots[0].artifact)
    assert "kafka/Kafka.class" in zipfile.ZipFile(kafka).namelist()


def test_a_fetched_group_is_complete_and_used_without_network(small, own_cache, offline):
    assert [path.name for path in small] == ["org.slf4j_slf4j-api-2.0.16.jar"]
    assert small[0].is_relative_to(own_cache)
    assert "org/slf4j/Logger.class" in zipfile.ZipFile(small[0]).namelist()
    assert jars.jar_paths(SMALL) == small


@pytest.mark.parametrize("damage", ["cut", "removed", "unmarked"])
def test_a_damaged_group_is_fetched_again(small, damage):
    before = small[0].read_bytes()
    match damage:
        case "cut":
            small[0].write_bytes(before[:1000])
        case "removed":
            small[0].unlink()
        case "unmarked":
            (small[0].parent / "complete.json").unlink()
    assert jars.jar_paths(SMALL) == small
    assert small[0].read_bytes() == before


def test_two_processes_fetch_once(small, own_cache):
    (small[0].parent / "complete.json").unlink()
    script = (
        "from marketlake.local import jars; from marketlake.local.versions import *\n"
        "print(jars.jar_paths(JarGroup('small',"
        "(Coordinate('org.slf4j', 'slf4j-api', '2.0.16'),)))[0].stat().st_ino)"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    first, second = (process.communicate(timeout=120)[0] for process in both)
    assert first == second != ""
    assert {p.name for p in small[0].parent.parent.iterdir()} == {
        small[0].parent.name,
        f"{small[0].parent.name}.lock",
    }


def test_without_network_one_line_tells_the_mend_and_nothing_is_left(own_cache, offline):
    with pytest.raises(LocalError) as caught:
        jars.jar_paths(SMALL)
    message = str(caught.value)
    assert "\n" not in message
    assert "'small' (org.slf4j:slf4j-api:2.0.16) could not be fetched" in message
    assert "needs network to Maven Central once; or set MARKETLAKE_JARS=folder" in message
    assert [path.suffix for path in (own_cache / "jars").iterdir()] == [".lock"]


def test_jars_of_the_users_own_are_taken_as_they_are(tmp_path, own_cache, offline, monkeypatch):
    (tmp_path / "mine" / "small").mkdir(parents=True)
    mine = tmp_path / "mine" / "small" / "slf4j-api-2.0.16.jar"
    mine.touch()
    monkeypatch.setenv("MARKETLAKE_JARS", str(tmp_path / "mine"))
    assert jars.jar_paths(SMALL) == [mine]
    mine.rename(mine.with_name("slf4j-api-1.0.jar"))
    with pytest.raises(LocalError, match=r"small lacks org\.slf4j:slf4j-api:2\.0\.16; on a"):
        jars.jar_paths(SMALL)


def test_the_program_copies_groups_for_a_machine_without_network(
    tmp_path, spark_jars, monkeypatch, capsys
):
    assert jars.main(["spark", "--to", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("spark: 6 jars, ")
    monkeypatch.setenv("MARKETLAKE_JARS", str(tmp_path))
    assert [p.name for p in jars.spark_jar_paths()] == [p.name for p in spark_jars]


def test_an_unknown_group_is_refused_with_the_choice(capsys):
    with pytest.raises(SystemExit) as caught:
        jars.main(["nothing"])
    assert caught.value.code == 2
    assert "no group nothing: choose of spark, broker, s3" in capsys.readouterr().err
