"""The steps of packing: packages, bytecode, kernels and the link to the cluster's Python."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from marketlake.contracts.errors import MarketlakeError

KERNEL_ENVIRONMENT: Final[Mapping[str, str]] = {
    "NUMBA_CPU_NAME": "x86-64-v3",
    "NUMBA_CPU_FEATURES": "+avx2",
}
"""Which processor kernels are compiled for: any x86 of the last ten years. numba takes a compiled
kernel up again only where these are the same, and else they are those of the very machine."""

GLIBC_MINOR: Final = 34
"""Wheels may ask for glibc 2.34 at most: that of Amazon Linux 2023."""
_ADDRESS: Final = re.compile(rb" at 0x([0-9a-f]+)>")


class PackingError(MarketlakeError):
    """Something cannot be packed: one line with what, where and the mend."""


def install(wanted: str, minor: str, site: Path) -> None:
    """Install wheels for the cluster's Linux, whatever this machine is."""
    platforms = [f"manylinux_2_{n}_x86_64" for n in range(GLIBC_MINOR, 4, -1)]
    platforms += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "any"]
    abis = [f"cp{minor.replace('.', '')}", "abi3", "none"]
    requirements = site.parent / "requirements.txt"
    requirements.parent.mkdir(parents=True)
    requirements.write_text(wanted)
    options = ["--no-deps", "--require-hashes", "--no-compile", "--only-binary=:all:"]
    options += ["--implementation=cp", f"--python-version={minor}", f"--target={site}"]
    options += [f"--platform={name}" for name in platforms] + [f"--abi={name}" for name in abis]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    _run([*pip, *options, "-r", str(requirements)], "the packages cannot be installed")
    requirements.unlink()
    for record in site.glob("*.dist-info/RECORD"):
        # It lists what is removed below, and digests of programs that name this machine.
        record.unlink()


def compile_modules(stage: Path, minor: str) -> None:
    """Compile to bytecode that nothing checks again: archives do not change."""
    _require_minor(minor)
    options = ["-q", "--invalidation-mode=unchecked-hash", "-s", str(stage), "-p", "/"]
    command = [sys.executable, "-m", "compileall", *options, str(stage)]
    _run(command, "the modules do not compile", {**os.environ, "PYTHONHASHSEED": "0"})


def compile_kernels(stage: Path, minor: str) -> None:
    """Compile what the stream runs, by running it, for the processor of `KERNEL_ENVIRONMENT`."""
    _require_minor(minor)
    # Nothing of what this process tells numba by its environment is to show in the kernels.
    ours = {name: text for name, text in os.environ.items() if not name.startswith("NUMBA_")}
    environment = {
        **ours,
        **KERNEL_ENVIRONMENT,
        "PYTHONPATH": str(stage),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "streaming.warm"]
    _run(command, "the kernels do not compile", environment, cwd=stage)
    if not any(stage.rglob("*.nbi")):
        raise PackingError(
            f"no compiled kernel in {stage}: is it read-only? set TMPDIR to another folder"
        )
    for kernel in stage.rglob("*.nbc"):
        # An annotation for readers says where functions were in memory, which no two runs share.
        kernel.write_bytes(_ADDRESS.sub(_zeros, kernel.read_bytes()))


def _zeros(address: re.Match[bytes]) -> bytes:
    return b" at 0x" + b"0" * len(address[1]) + b">"


def _require_minor(minor: str) -> None:
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    if ours != minor:
        raise PackingError(
            f"this is Python {ours}, the cluster's is {minor}: make .venv with python{minor}, or "
            f"name a cluster's python{ours} by --interpreter"
        )


def link(stage: Path, interpreter: Path, minor: str) -> None:
    """Make the folder a virtual environment of an interpreter that need not be on this machine."""
    programs = stage / "bin"
    programs.mkdir()
    (programs / "python").symlink_to(interpreter)
    for name in ("python3", f"python{minor}"):
        (programs / name).symlink_to("python")
    (stage / "pyvenv.cfg").write_text(
        f"home = {interpreter.parent}\ninclude-system-site-packages = false\nversion = {minor}\n"
    )


def _run(
    command: Sequence[str],
    failure: str,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> None:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd=cwd,
        env=environment,
    )
    if done.returncode != 0:
        lines = [line for line in done.stdout.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines[-1:]
        raise PackingError(f"{failure}: {' '.join(errors) or f'exit status {done.returncode}'}")
