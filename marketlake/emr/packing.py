"""Packs what a cluster runs: the Python environment, and the application with compiled kernels.

Also a program: ``python -m marketlake.emr.packing [--to FOLDER]``, run by ``scripts/package``.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from marketlake.emr.archives import Archive, pack, packed_before, remember
from marketlake.emr.packing_steps import (
    GLIBC_MINOR,
    KERNEL_ENVIRONMENT,
    PackingError,
    compile_kernels,
    compile_modules,
    install,
    link,
)
from marketlake.local.jars import spark_jar_paths

INTERPRETER: Final = "/usr/bin/python3.11"
"""The Python of a cluster's machines that the environment stands on."""

_OURS: Final = ("marketlake", "streaming", "spark_jobs")
_LEFT_OUT: Final = frozenset({"pyspark", "py4j", "delta-spark", "plotly", "narwhals"})
"""Spark is the cluster's own, and its Python side must be of the same build; plotly, a third of all
files, draws the report of the demo only."""
_UNUSED: Final = ("bin", "share", "**/tests", "pyarrow/include", "numpy/_core/include")

_LAYOUT: Final = 1
"""Of the environment's archive: another number packs it anew."""

_ROOT: Final = Path(__file__).resolve().parents[2]


def main_file() -> Path:
    """Give the program that spark-submit is to run."""
    return _ROOT / "spark_jobs" / "main.py"


def cluster_jars(*, delta: bool = False) -> list[Path]:
    """Give the jars that a cluster lacks: those of the Kafka source.

    Parameters
    ----------
    delta : bool
        Delta's too, for a cluster that does not bring its own.
    """
    return [jar for jar in spark_jar_paths() if delta or not jar.name.startswith("io.delta_")]


def pack_environment(folder: Path, *, interpreter: str = INTERPRETER) -> Archive:
    """Pack the locked third-party packages as a virtual environment.

    Parameters
    ----------
    folder : Path
        Where ``environment.tar.gz`` is written; kept where it was made of the same inputs.
    interpreter : str
        Absolute path of the Python that the environment is a link to, on each machine of the
        cluster. Its minor version is that of the packages.

    Raises
    ------
    PackingError
        A package has no wheel for the cluster, or cannot be fetched.
    """
    minor = _minor_of(interpreter)
    wanted = _wanted_packages()
    inputs = _digest(wanted, interpreter, json.dumps([_LAYOUT, GLIBC_MINOR, _UNUSED]))
    return _packed_once(
        folder / "environment.tar.gz",
        inputs,
        lambda archive: _environment(archive, wanted, Path(interpreter), minor),
    )


def _environment(archive: Path, wanted: str, interpreter: Path, minor: str) -> Archive:
    with tempfile.TemporaryDirectory(prefix=".environment-", dir=archive.parent) as scratch:
        stage = Path(scratch) / "environment"
        site = stage / "lib" / f"python{minor}" / "site-packages"
        install(wanted, minor, site)
        for pattern in _UNUSED:
            for path in list(site.glob(pattern)):
                shutil.rmtree(path)
        compile_modules(stage, minor)
        link(stage, interpreter, minor)
        return pack(stage, archive)


def pack_application(folder: Path, *, interpreter: str = INTERPRETER) -> Archive:
    """Pack our own code, with its kernels compiled for `KERNEL_ENVIRONMENT`.

    Parameters
    ----------
    folder : Path
        Where ``application.tar.gz`` is written; kept where it was made of the same inputs.
    interpreter : str
        As for `pack_environment`: kernels hold for one minor version of Python.

    Raises
    ------
    PackingError
        This Python is of another minor version, or the kernels do not compile.
    """
    minor = _minor_of(interpreter)
    files = sorted(_sources())
    inputs = _digest(
        *(f"{file.relative_to(_ROOT)}\0{file.read_bytes().hex()}" for file in files),
        json.dumps(dict(KERNEL_ENVIRONMENT)),
        _wanted_packages(),
        minor,
    )
    return _packed_once(
        folder / "application.tar.gz",
        inputs,
        lambda archive: _application(archive, files, inputs, minor),
    )


def _application(archive: Path, files: Sequence[Path], inputs: str, minor: str) -> Archive:
    with _stage(inputs) as stage:
        for file in files:
            target = stage / file.relative_to(_ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
        compile_kernels(stage, minor)
        compile_modules(stage, minor)
        return pack(stage, archive)


def _packed_once(archive: Path, inputs: str, packer: Callable[[Path], Archive]) -> Archive:
    """Pack unless that was done; processes that ask at the same time wait for one another."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with archive.with_name(f".{archive.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        packed = packed_before(archive, inputs)
        if packed is None:
            packed = packer(archive)
            remember(packed, inputs)
        return packed


def _minor_of(interpreter: str) -> str:
    found = re.fullmatch(r"/.*/python(3\.\d+)", interpreter)
    if found is None:
        raise PackingError(
            f"interpreter {interpreter!r} does not say its version; write it as {INTERPRETER}"
        )
    return found[1]


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _wanted_packages() -> str:
    """Give the locked requirements, hashes included, without what the cluster brings."""
    lock = _ROOT / "requirements.txt"
    try:
        text = lock.read_text()
    except OSError as error:
        raise PackingError(f"{lock} cannot be read ({error}); pack from a checkout") from error
    entries = re.split(r"\n(?=\S)", text)
    return "\n".join(e for e in entries if e.partition("==")[0] not in _LEFT_OUT)


def _sources() -> Iterator[Path]:
    for package in _OURS:
        for path in (_ROOT / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


@contextmanager
def _stage(inputs: str) -> Iterator[Path]:
    """Give a folder whose path depends on the inputs only: compiled kernels hold the path."""
    stage = Path(tempfile.gettempdir()) / f"marketlake-application-{inputs[:16]}"
    shutil.rmtree(stage, ignore_errors=True)
    try:
        stage.mkdir(mode=0o700)
    except FileExistsError as error:
        raise PackingError(f"{stage} is another user's; remove it, or set TMPDIR") from error
    try:
        yield stage
    finally:
        shutil.rmtree(stage)


def main(arguments: Sequence[str] | None = None) -> int:
    """Pack both; print paths, digests, sizes and times as JSON; give the exit status."""
    parser = argparse.ArgumentParser(
        prog="scripts/package", description="Pack what a cluster runs: environment, application."
    )
    parser.add_argument("--to", type=Path, default=_ROOT / ".cache" / "emr", help="folder")
    parser.add_argument(
        "--interpreter", default=INTERPRETER, help="the cluster's Python (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    told = {}
    try:
        for name, packer in (("environment", pack_environment), ("application", pack_application)):
            began_s = time.monotonic()
            archive = packer(options.to, interpreter=options.interpreter)
            told[name] = {
                "path": str(archive.path),
                "sha256": archive.sha256,
                "size_bytes": archive.size_bytes,
                "seconds": round(time.monotonic() - began_s, 1),
            }
    except (PackingError, OSError) as error:
        sys.stderr.write(f"package: {error}\n")
        return 1
    sys.stdout.write(json.dumps(told, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
