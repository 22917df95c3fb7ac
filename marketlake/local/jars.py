"""Fetches groups of jars once, into a cache, with the Ivy that pip's pyspark ships.

Also a program: ``python -m marketlake.local.jars [GROUP ...] [--to FOLDER]``.
"""

import argparse
import fcntl
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies
from xml.sax.saxutils import quoteattr

from marketlake.local.errors import LocalError
from marketlake.local.java import find_java
from marketlake.local.versions import BROKER, DEFAULT_GROUPS, GROUPS, S3, SPARK, JarGroup
from marketlake.settings import environment

_MARKER = "complete.json"
_ATTEMPTS = 2
_RESOLVE_TIMEOUT_S = 1800

# No host and no local repository: Ivy's own public resolver is Maven Central, and a ~/.m2 that
# holds poms without jars would make Ivy fail.
_SETTINGS = """<ivysettings>
  <settings defaultResolver="public"/>
  <resolvers><ibiblio name="public" m2compatible="true"/></resolvers>
</ivysettings>
"""


def spark_jar_paths() -> list[Path]:
    """Give the jars that Spark needs for Delta and Kafka, for ``spark.jars``; see `jar_paths`."""
    return jar_paths(SPARK)


def s3_jar_paths() -> list[Path]:
    """Give the jars that Spark needs beside those for a lake on S3; see `jar_paths`."""
    return jar_paths(S3)


def broker_classpath() -> list[Path]:
    """Give the jars of the embedded Kafka broker; see `jar_paths`."""
    return jar_paths(BROKER)


def jar_paths(group: JarGroup) -> list[Path]:
    """Give the local jars of a group, fetching them on the first call on this machine.

    Parameters
    ----------
    group
        What to fetch.

    Returns
    -------
    list of Path
        Absolute paths in the order of their names. From ``MARKETLAKE_JARS/<group>`` where that
        is set, else from the cache. Processes that ask at the same time wait for one another.

    Raises
    ------
    LocalError
        No way to Maven Central on the first call, no Java, or ``MARKETLAKE_JARS`` without jars.
    """
    ready = environment.jars_dir()
    if ready is not None:
        return _jars_given(ready, group)
    folder = environment.cache_dir() / "jars" / f"{group.name}-{_digest(group)}"
    if not _is_complete(folder):
        with _locked(folder):
            if not _is_complete(folder):
                _fetch(group, folder)
    return _jars_in(folder)


def _jars_given(ready: Path, group: JarGroup) -> list[Path]:
    """List a group of the user's own jars, of which the roots must be there."""
    jars = _jars_in(ready / group.name)
    missing = [
        str(root)
        for root in group.roots
        if not any(jar.name.endswith(f"{root.artifact}-{root.version}.jar") for jar in jars)
    ]
    if missing:
        raise LocalError(
            f"MARKETLAKE_JARS: {ready / group.name} lacks {', '.join(missing)}; on a machine with "
            f"network type: python -m marketlake.local.jars --to FOLDER",
        )
    return jars


def _jars_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jar"))


def _digest(group: JarGroup) -> str:
    asked = json.dumps([sorted(map(str, group.roots)), sorted(group.excluded)])
    return hashlib.sha256(asked.encode()).hexdigest()[:12]


def _is_complete(folder: Path) -> bool:
    """Tell whether the folder holds just the jars, at their full size, that its marker lists."""
    try:
        sizes = json.loads((folder / _MARKER).read_text())
    except (OSError, ValueError):
        return False
    return bool(sizes == {jar.name: jar.stat().st_size for jar in _jars_in(folder)})


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(group: JarGroup, folder: Path) -> None:
    """Resolve into a scratch folder beside the target, mark it, and move it into place."""
    with tempfile.TemporaryDirectory(prefix=f".{group.name}-", dir=folder.parent) as scratch:
        out = Path(scratch) / "jars"
        _run_ivy(group, Path(scratch), out)
        sizes = {jar.name: jar.stat().st_size for jar in _jars_in(out)}
        (out / _MARKER).write_text(json.dumps(sizes, indent=1))
        shutil.rmtree(folder, ignore_errors=True)
        out.rename(folder)


def _run_ivy(group: JarGroup, scratch: Path, out: Path) -> None:
    (scratch / "ivysettings.xml").write_text(_SETTINGS)
    (scratch / "ivy.xml").write_text(_ivy_xml(group))
    command = [
        str(find_java().executable),
        "-XX:TieredStopAtLevel=1",
        *_proxy_options(),
        *("-jar", str(_ivy_jar())),
        *("-settings", str(scratch / "ivysettings.xml"), "-ivy", str(scratch / "ivy.xml")),
        *("-cache", str(scratch / "cache"), "-types", "jar", "bundle"),
        *("-retrieve", f"{out}/[organisation]_[artifact]-[revision](-[classifier]).[ext]"),
    ]
    for _ in range(_ATTEMPTS):  # the second takes up what the first has fetched
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_RESOLVE_TIMEOUT_S,
            check=False,
        )
        if done.returncode == 0 and out.is_dir():
            return
    raise LocalError(
        f"the jars of '{group.name}' ({', '.join(map(str, group.roots))}) could not be fetched "
        f"[{_reason(done.stdout)}]: this needs network to Maven Central once; or set "
        f"MARKETLAKE_JARS=folder, with the jars in folder/{group.name}",
    )


def _reason(log: str) -> str:
    """Pick the part of Ivy's log that says most."""
    for sign in (r"Host \S+ not found", r"Server access error.*", r"module not found: \S+"):
        found = re.search(sign, log)
        if found:
            return found[0]
    return next((line.strip(" :") for line in log.splitlines() if "Exception" in line), "no reason")


def _ivy_xml(group: JarGroup) -> str:
    def attributes(**values: str) -> str:
        return " ".join(f"{name}={quoteattr(value)}" for name, value in values.items())

    wanted = "".join(
        f"<dependency {attributes(org=c.group, name=c.artifact, rev=c.version)}/>"
        for c in group.roots
    )
    unwanted = "".join(
        f"<exclude {attributes(org=org, module=module)}/>" for org, module in group.excluded
    )
    return (
        f'<ivy-module version="2.0"><info organisation="marketlake" module="{group.name}"/>'
        '<configurations><conf name="default"/></configurations>'
        '<dependencies defaultconf="default->compile(*),runtime(*),master(*)">'
        f"{wanted}{unwanted}</dependencies></ivy-module>"
    )


def _proxy_options() -> list[str]:
    """Hand the proxy that pip and curl use on to Java, which does not read it by itself."""
    proxy = urlsplit(getproxies().get("https", ""))
    if proxy.hostname is None:
        return []
    return [f"-Dhttps.proxyHost={proxy.hostname}", f"-Dhttps.proxyPort={proxy.port or 80}"]


def _ivy_jar() -> Path:
    spec = find_spec("pyspark")
    folder = Path(spec.origin).parent / "jars" if spec and spec.origin else None
    found = sorted(folder.glob("ivy-*.jar")) if folder else []
    if not found:
        raise LocalError("no Ivy jar in pip's pyspark; type: pip install -r requirements.txt")
    return found[-1]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m marketlake.local.jars", description="Fetch the jars that marketlake needs."
    )
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}")
    parser.add_argument("--to", type=Path, help="copy them to a folder for MARKETLAKE_JARS")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch groups of jars; give the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    names: list[str] = options.groups or [group.name for group in DEFAULT_GROUPS]
    unknown = [name for name in names if name not in GROUPS]
    if unknown:
        parser.error(f"no group {unknown[0]}: choose of {', '.join(GROUPS)}")
    try:
        with ThreadPoolExecutor(len(names)) as pool:
            fetched = dict(zip(names, pool.map(lambda n: jar_paths(GROUPS[n]), names), strict=True))
    except LocalError as error:
        sys.stderr.write(f"marketlake: {error}\n")
        return 1
    for name, jars in fetched.items():
        folder = jars[0].parent
        if options.to is not None:
            folder = Path(shutil.copytree(folder, options.to / name, dirs_exist_ok=True))
        size_mb = sum(jar.stat().st_size for jar in jars) / 1e6
        sys.stdout.write(f"{name}: {len(jars)} jars, {size_mb:.0f} MB, {folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
