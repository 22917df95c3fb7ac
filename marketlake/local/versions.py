"""The jars and their versions: the only place where they stand."""

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Coordinate:
    """One Maven artifact: ``group:artifact:version``."""

    group: str
    artifact: str
    version: str

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


@dataclass(frozen=True)
class JarGroup:
    """Jars that are fetched together.

    Attributes
    ----------
    name
        Name of the group; also of its folder below ``MARKETLAKE_JARS``.
    roots
        What is asked for; what those need comes along.
    excluded
        ``(group, artifact)`` that must not come along; ``*`` matches every artifact.
    """

    name: str
    roots: tuple[Coordinate, ...]
    excluded: tuple[tuple[str, str], ...] = ()


# pip's pyspark ships these: a second copy on the class path is slow at best, a conflict at worst.
_SHIPPED_BY_SPARK = (
    ("com.fasterxml.jackson.core", "*"),
    ("com.google.code.findbugs", "jsr305"),
    ("commons-codec", "commons-codec"),
    ("commons-logging", "commons-logging"),
    ("io.netty", "*"),
    ("org.antlr", "antlr4-runtime"),
    ("org.apache.hadoop", "hadoop-client-api"),
    ("org.apache.hadoop", "hadoop-client-runtime"),
    ("org.apache.httpcomponents", "*"),
    ("org.apache.spark", "spark-tags_2.13"),
    ("org.lz4", "lz4-java"),
    ("org.scala-lang", "*"),
    ("org.scala-lang.modules", "*"),
    ("org.slf4j", "*"),
    ("org.xerial.snappy", "snappy-java"),
)

_AWS_SDK = "2.25.53"
_HADOOP = "3.4.1"

# Delta brings delta-storage; the Kafka source brings its token provider, kafka-clients, pool2.
SPARK = JarGroup(
    name="spark",
    roots=(
        Coordinate("io.delta", "delta-spark_2.13", "4.0.1"),
        Coordinate("org.apache.spark", "spark-sql-kafka-0-10_2.13", "4.0.0"),
    ),
    excluded=_SHIPPED_BY_SPARK,
)

# The four parts of the SDK that S3A calls, in place of the bundle's 558 MB. Of spark-hadoop-cloud
# only the checkpoint manager that writes an object at once is wanted, and of other clouds nothing.
S3 = JarGroup(
    name="s3",
    roots=(
        Coordinate("org.apache.hadoop", "hadoop-aws", _HADOOP),
        Coordinate("software.amazon.awssdk", "s3", _AWS_SDK),
        Coordinate("software.amazon.awssdk", "s3-transfer-manager", _AWS_SDK),
        Coordinate("software.amazon.awssdk", "sts", _AWS_SDK),
        Coordinate("software.amazon.awssdk", "apache-client", _AWS_SDK),
        Coordinate("org.apache.spark", "spark-hadoop-cloud_2.13", "4.0.2"),
    ),
    excluded=(
        *_SHIPPED_BY_SPARK,
        ("software.amazon.awssdk", "bundle"),
        ("com.fasterxml.jackson.dataformat", "*"),
        ("com.google.cloud.bigdataoss", "*"),
        ("com.squareup.okhttp3", "*"),
        ("com.squareup.okio", "*"),
        ("joda-time", "joda-time"),
        ("org.apache.hadoop", "hadoop-azure"),
        ("org.apache.hadoop", "hadoop-cloud-storage"),
        ("org.eclipse.jetty", "*"),
    ),
)

# A process of its own, with a class path of its own.
BROKER = JarGroup(
    name="broker",
    roots=(
        Coordinate("org.apache.kafka", "kafka_2.13", "3.9.1"),
        Coordinate("org.slf4j", "slf4j-simple", "1.7.36"),
    ),
)

# ResourceManager and NodeManager on this machine, to prove what a cluster is given: processes of
# their own. The NodeManager asks for the timeline service's classes even where none runs.
YARN = JarGroup(
    name="yarn",
    roots=(
        Coordinate("org.apache.hadoop", "hadoop-common", _HADOOP),
        Coordinate("org.apache.hadoop", "hadoop-yarn-server-resourcemanager", _HADOOP),
        Coordinate("org.apache.hadoop", "hadoop-yarn-server-nodemanager", _HADOOP),
        Coordinate("org.apache.hadoop", "hadoop-yarn-server-timelineservice", _HADOOP),
        Coordinate("org.apache.hadoop", "hadoop-yarn-client", _HADOOP),
    ),
)

GROUPS = {group.name: group for group in (SPARK, BROKER, S3, YARN)}
DEFAULT_GROUPS = (SPARK, BROKER)

# Spark 4.0 is tested on 17 and 21; Java 24 took away the security manager that Hadoop 3.4 calls.
JAVA_MIN = 17
JAVA_MAX = 23
