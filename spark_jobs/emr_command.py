"""``marketlake emr …``: clusters on Amazon EMR, for operators."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from marketlake.emr.deployment import Deployment, open_deployment
from marketlake.emr.errors import EmrError
from marketlake.emr.reporting import Report
from marketlake.settings.model import Deployed, load_settings
from spark_jobs.errors import one_line
from spark_jobs.options import Config

_Env = Annotated[str, typer.Option("--env", help="dev, staging or prod.")]
_Region = Annotated[str | None, typer.Option(help="AWS region; else AWS_REGION.")]
_Endpoint = Annotated[
    str | None, typer.Option(help="Address of an emulator that stands for AWS; nothing is real.")
]
_EnvironmentArchive = Annotated[
    Path | None, typer.Option(help="Packed Python environment; else it is packed now.")
]
_ApplicationArchive = Annotated[
    Path | None, typer.Option(help="Packed code; else it is packed now.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print the facts as JSON at the end.")]


@contextmanager
def _reported(command: str, *, json_output: bool) -> Iterator[Report]:
    """Give the report; say what goes wrong in one line, and print the facts in any case."""
    report = Report(lambda line: typer.echo(line, err=json_output))
    with one_line(f"emr {command}"):
        try:
            yield report
        except Exception as error:
            report.fact(error=" ".join(str(error).split()))
            raise
        finally:
            if json_output:
                typer.echo(json.dumps(report.done(), default=str))


@contextmanager
def _opened(
    command: str,
    env: str,
    region: str | None,
    endpoint_url: str | None,
    config: Path | None,
    *,
    json_output: bool,
) -> Iterator[Deployment]:
    """Give the deployment that a command is about, its report begun."""
    with _reported(command, json_output=json_output) as report:
        settings = load_settings(config)
        yield open_deployment(
            _stage(env), settings, report, region=region, endpoint_url=endpoint_url
        )


def _stage(name: str) -> Deployed:
    if name not in get_args(Deployed):
        raise EmrError(f"--env {name}: it is one of {', '.join(get_args(Deployed))}")
    return cast("Deployed", name)


def deploy_command(
    *,
    env: _Env = "dev",
    region: _Region = None,
    endpoint_url: _Endpoint = None,
    config: Config = None,
    environment_archive: _EnvironmentArchive = None,
    application_archive: _ApplicationArchive = None,
    replace_cluster: Annotated[
        bool, typer.Option("--replace-cluster", help="Let a running cluster be replaced.")
    ] = False,
    json_output: _Json = False,
) -> None:
    """Make an environment what the code says, in eight steps; safe to run again at any time."""
    from marketlake.emr.deploy import Asked, deploy

    with _opened("deploy", env, region, endpoint_url, config, json_output=json_output) as place:
        deploy(place, Asked(environment_archive, application_archive, replace_cluster))
        _show_info(place)


def release_command(
    *,
    env: _Env = "dev",
    region: _Region = None,
    endpoint_url: _Endpoint = None,
    config: Config = None,
    environment_archive: _EnvironmentArchive = None,
    application_archive: _ApplicationArchive = None,
    to: Annotated[int | None, typer.Option(min=1, help="Number of a former release.")] = None,
    json_output: _Json = False,
) -> None:
    """Bring new code to a running stream; where it is not healthy the former comes back."""
    from marketlake.emr.deploy import Asked, release

    with _opened("release", env, region, endpoint_url, config, json_output=json_output) as place:
        release(place, Asked(environment_archive, application_archive), to)


def submit_command(
    job: Annotated[list[str], typer.Argument(help="The job, as behind `marketlake`.")],
    *,
    env: _Env = "dev",
    region: _Region = None,
    endpoint_url: _Endpoint = None,
    config: Config = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait for its end.")] = False,
    json_output: _Json = False,
) -> None:
    """Run a job as a step of the cluster, wait for it and show its log."""
    from marketlake.emr.jobs import run_job

    with _opened("submit", env, region, endpoint_url, config, json_output=json_output) as place:
        run_job(place, job, waits=not no_wait)


def _show_info(place: Deployment) -> None:
    from marketlake.emr.info import info

    info(place)


def info_command(
    *,
    env: _Env = "dev",
    region: _Region = None,
    endpoint_url: _Endpoint = None,
    config: Config = None,
    json_output: _Json = False,
) -> None:
    """Tell what is deployed and how its pages are reached; changes nothing."""
    with _opened("info", env, region, endpoint_url, config, json_output=json_output) as place:
        _show_info(place)


def destroy_command(
    *,
    env: _Env = "dev",
    region: _Region = None,
    endpoint_url: _Endpoint = None,
    config: Config = None,
    data: Annotated[
        bool, typer.Option("--data", help="Lake, streams and keys too, with all they hold.")
    ] = False,
    prod: Annotated[bool, typer.Option("--prod", help="Needed for prod.")] = False,
    kill_streams: Annotated[
        bool, typer.Option("--kill-streams", help="Do not insist that streams end in peace.")
    ] = False,
    confirm: Annotated[
        str | None, typer.Option(help="The name that would be asked for, NAME-ENV.")
    ] = None,
    json_output: _Json = False,
) -> None:
    """Remove the cluster after its streams have ended; the data stay unless told otherwise."""
    from marketlake.emr.destroy import Removal, destroy

    def confirmed(name: str) -> bool:
        given = confirm if confirm is not None else typer.prompt(f"type {name} to go on", err=True)
        return given == name

    with _opened("destroy", env, region, endpoint_url, config, json_output=json_output) as place:
        destroy(place, Removal(data, prod, kill_streams), confirmed)


def check_command(
    *,
    env: _Env = "dev",
    region: _Region = None,
    endpoint_url: _Endpoint = None,
    config: Config = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="The code only: no account is asked.")
    ] = False,
    json_output: _Json = False,
) -> None:
    """Check the code here and, where a cluster is deployed, that cluster; exit 1 on a failure."""
    from marketlake.emr.check import Finding, check_cluster, check_code

    findings: list[Finding] = []
    with _reported("test", json_output=json_output) as report:
        try:
            settings = load_settings(config)
            report.step(1, 2, "the code")
            findings += check_code(settings, report)
            report.step(2, 2, "the cluster")
            if offline:
                report.say("not asked: --offline")
            else:
                findings += check_cluster(
                    open_deployment(
                        _stage(env), settings, report, region=region, endpoint_url=endpoint_url
                    )
                )
        finally:
            report.fact(checks=[asdict(found) for found in findings])
        failed = [found.check for found in findings if found.outcome == "failed"]
        if failed:
            raise EmrError(f"{len(failed)} of {len(findings)} checks failed: {', '.join(failed)}")


def backup_command(
    *,
    env: _Env = "dev",
    region: _Region = None,
    endpoint_url: _Endpoint = None,
    config: Config = None,
    json_output: _Json = False,
) -> None:
    """Back up configuration, notebooks and reference tables, with a manifest of digests."""
    from marketlake.emr.backup import back_up

    with _opened("backup", env, region, endpoint_url, config, json_output=json_output) as place:
        back_up(place, config)


def restore_command(
    *,
    to: Annotated[Path, typer.Option(help="Empty or new folder for what is restored.")],
    name: Annotated[str | None, typer.Option(help="Of the backup; else the latest.")] = None,
    put_back: Annotated[
        bool, typer.Option("--put-back", help="Bring reference tables back to the lake too.")
    ] = False,
    env: _Env = "dev",
    region: _Region = None,
    endpoint_url: _Endpoint = None,
    config: Config = None,
    json_output: _Json = False,
) -> None:
    """Bring a backup to a folder, each file checked against its digest."""
    from marketlake.emr.backup import put_back_reference, restore

    with _opened("restore", env, region, endpoint_url, config, json_output=json_output) as place:
        restore(place, name, to)
        if put_back:
            put_back_reference(place, to)


def weekly_check_command(
    *,
    env: _Env = "dev",
    region: _Region = None,
    endpoint_url: _Endpoint = None,
    config: Config = None,
    json_output: _Json = False,
) -> None:
    """Name clusters left running and what costs too much; exit 1 where there is any."""
    from marketlake.emr.weekly import weekly_check

    with _opened(
        "weekly-check", env, region, endpoint_url, config, json_output=json_output
    ) as place:
        findings = weekly_check(place)
        if findings:
            raise EmrError(f"{len(findings)} things to look at")


def configurations_command(*, config: Config = None) -> None:
    """Print the cluster's configurations as JSON, made from the settings of the code."""
    from marketlake.emr.configurations import as_json, cluster_configurations

    with one_line("emr configurations"):
        typer.echo(as_json(cluster_configurations(load_settings(config))), nl=False)
