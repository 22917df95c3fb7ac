"""The command line of a job, against what EMR's and Spark's documentation ask."""

from marketlake.emr.spark_submit import Artifacts, spark_submit

ARTIFACTS = Artifacts(
    environment="s3://artifacts/environments/aa.tar.gz",
    application="s3://artifacts/applications/bb.tar.gz",
    main="s3://artifacts/applications/bb/main.py",
    jars=("s3://artifacts/jars/cc-kafka.jar", "s3://artifacts/jars/dd-pool.jar"),
)


def test_command_of_a_job():
    job = ["batch", "process", "--lake", "s3a://lake/lake", "--date", "2024-08-08"]
    command = spark_submit(
        job,
        ARTIFACTS,
        settings={"spark.yarn.tags": "daily"},
        environment={"AWS_REGION": "eu-west-1"},
    )
    assert command == [
        *("spark-submit", "--master", "yarn", "--deploy-mode", "cluster"),
        *("--name", "marketlake batch process"),
        "--archives",
        (
            "s3://artifacts/environments/aa.tar.gz#environment,"
            "s3://artifacts/applications/bb.tar.gz#application"
        ),
        "--jars",
        "s3://artifacts/jars/cc-kafka.jar,s3://artifacts/jars/dd-pool.jar",
        *("--conf", "spark.pyspark.python=./environment/bin/python"),
        *("--conf", "spark.python.daemon.module=spark_jobs.worker_daemon"),
        *("--conf", "spark.yarn.appMasterEnv.NUMBA_CPU_NAME=x86-64-v3"),
        *("--conf", "spark.yarn.appMasterEnv.NUMBA_CPU_FEATURES=+avx2"),
        *("--conf", "spark.yarn.appMasterEnv.PYTHONPATH=./application"),
        *("--conf", "spark.yarn.appMasterEnv.AWS_REGION=eu-west-1"),
        *("--conf", "spark.executorEnv.NUMBA_CPU_NAME=x86-64-v3"),
        *("--conf", "spark.executorEnv.NUMBA_CPU_FEATURES=+avx2"),
        *("--conf", "spark.executorEnv.PYTHONPATH=./application"),
        *("--conf", "spark.executorEnv.AWS_REGION=eu-west-1"),
        *("--conf", "spark.yarn.tags=daily"),
        "s3://artifacts/applications/bb/main.py",
        *job,
    ]


def test_settings_win_and_jars_may_be_none():
    plain = Artifacts("e", "a", "m")
    command = spark_submit(
        ["stream"], plain, settings={"spark.python.daemon.module": "pyspark.daemon"}
    )
    assert "--jars" not in command
    assert "spark.python.daemon.module=pyspark.daemon" in command
    assert "spark.python.daemon.module=spark_jobs.worker_daemon" not in command
    assert command[-2:] == ["m", "stream"]
