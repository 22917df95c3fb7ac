"""What the tests of a process share: one broker, the jars, the recorded data where they are."""

import multiprocessing.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from marketlake.lake.storage import Storage
from marketlake.local.broker import EmbeddedBroker
from marketlake.local.jars import spark_jar_paths
from marketlake.settings import environment
from spark_jobs.sessions import job_session
from tests.kinesis_servers import kinesalite_server
from tests.s3_servers import NO_AWS, S3Server
from tests.s3_servers import moto as s3_moto
from tests.s3_servers import versitygw as s3_versitygw

# Before Spark starts: its workers have the environment of the JVM.
os.environ |= NO_AWS


_ONE_WORKER = ("tests/infrastructure/", "tests/yarn/")
_LONGEST = (
    "tests/marketlake/emr/test_deploy.py",
    "tests/streaming/test_kinesis_laws.py",
    "tests/infrastructure/",
    "tests/yarn/",
    "tests/marketlake/emr/test_release.py",
    "tests/streaming/test_recovery.py",
    "tests/spark_jobs/test_bad_input.py",
    "tests/streaming/test_s3_stream.py",
    "tests/streaming/test_moving_instruments.py",
)
"""Those of more than two minutes, the longest first."""


def _shared_by(nodeid: str) -> str:
    """What one worker runs from its beginning to its end: a file, or a folder with one apply."""
    file = nodeid.partition("::")[0]
    return next((folder for folder in _ONE_WORKER if file.startswith(folder)), file)


class _Scheduling(LoadFileScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return _shared_by(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    """Let the tests of an environment that is applied once run where it was applied."""
    return _Scheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of several workers let none begin with slow tests when the others are done."""
    if hasattr(config, "workerinput"):
        slow = {_shared_by(item.nodeid) for item in items if item.get_closest_marker("slow")}
        after = len(_LONGEST)
        turns = dict.fromkeys(slow, after) | {name: turn for turn, name in enumerate(_LONGEST)}
        items.sort(key=lambda item: turns.get(_shared_by(item.nodeid), after + 1))


@pytest.fixture(scope="session", autouse=True)
def temporary_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let what killed processes leave lie below pytest's folder, and remove it at the end."""
    # The one folder that stays outside: it holds a socket, whose path must be short, and goes after
    # all others.
    multiprocessing.util.get_temp_dir()
    folder = tmp_path_factory.mktemp("tmp", numbered=False)
    told = {
        "TMPDIR": str(folder),
        "SPARK_LOCAL_DIRS": str(folder),
        # A JVM does not look at TMPDIR.
        "SPARK_SUBMIT_OPTS": f"-Djava.io.tmpdir={folder}",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in told.items():
            patch.setenv(name, value)
        patch.setattr(tempfile, "tempdir", None)
        yield
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """One Kafka broker for the session: use topic names of your own."""
    with EmbeddedBroker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture(scope="session")
def spark_jars() -> list[Path]:
    """The jars for ``spark.jars``."""
    return spark_jar_paths()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One S3 server for the session: use buckets of your own."""
    with s3_moto() as running:
        yield running


@pytest.fixture
def s3_bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new bucket, which the AWS tools find by the environment."""
    return _bucket_of(s3_server, monkeypatch)


def _bucket_of(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return server.new_bucket()


@pytest.fixture(scope="session")
def versitygw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Another S3 server for the session; what needs it is skipped where it is not installed."""
    with s3_versitygw(tmp_path_factory.mktemp("versitygw")) as running:
        yield running


@pytest.fixture
def versitygw_bucket(versitygw: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same there."""
    return _bucket_of(versitygw, monkeypatch)


@pytest.fixture(scope="session")
def recorded_data() -> Path:
    """The folder of recorded data sets; what needs it is skipped where it is absent."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = environment.data_dir() or beside
    if not folder.is_dir():
        pytest.skip("no recorded data: set MARKETLAKE_DATA to the folder that holds them")
    return folder


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """The one Spark session of the tests."""
    # No test runs for so long that compiling the JVM's code for speed would pay.
    session = job_session("marketlake tests", Storage("."), light=True)
    yield session
    session.stop()


@pytest.fixture(scope="session")
def moto(s3_server: S3Server) -> str:
    """URL of one moto for the session: use stream names of your own."""
    return s3_server.url


@pytest.fixture(scope="session")
def kinesalite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of one kinesalite for the session; what needs it is skipped where npm is absent."""
    with kinesalite_server(tmp_path_factory.mktemp("kinesalite")) as url:
        yield url
