"""Finds a Java that can run Spark and the embedded broker.

Also a program: ``python -m marketlake.local.java`` prints its ``JAVA_HOME``.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from marketlake.local.errors import LocalError
from marketlake.local.versions import JAVA_MAX, JAVA_MIN
from marketlake.settings import environment

# Delta's and Spark's vectorised readers load it; a trimmed runtime may lack it.
_MODULE = "jdk.incubator.vector"
_USUAL_PLACES = (
    "/usr/lib/jvm/*/bin/java",
    "/opt/java/*/bin/java",
    "/opt/*/bin/java",
    "/Library/Java/JavaVirtualMachines/*/Contents/Home/bin/java",
)
_PROBE_TIMEOUT_S = 30


@dataclass(frozen=True)
class Java:
    """A Java runtime that was asked and answered.

    Attributes
    ----------
    executable
        The ``java`` program.
    home
        Its ``JAVA_HOME``: pass this to Spark.
    version
        The feature release: 17, 21, ….
    """

    executable: Path
    home: Path
    version: int


@cache
def find_java() -> Java:
    """Find a usable Java: ``JAVA_HOME``, then ``PATH``, then the usual folders.

    Returns
    -------
    Java
        The first one in that order whose release is in ``JAVA_MIN``..``JAVA_MAX`` and which has
        the module ``jdk.incubator.vector``.

    Raises
    ------
    LocalError
        Where there is none; it tells each candidate's fault and the line that installs one.
    """
    faults = []
    for executable in _candidates():
        found = probe(executable)
        if isinstance(found, Java):
            return found
        faults.append(f"{executable}: {found}")
    tried = f" (tried {'; '.join(faults)})" if faults else ""
    raise LocalError(
        f"no Java {JAVA_MIN} to {JAVA_MAX} found{tried}; type: {install_line()}",
    )


def probe(executable: Path) -> Java | str:
    """Ask one ``java`` program; give what it is, or the fault that makes it unusable."""
    try:
        answer = subprocess.run(
            [executable, "-XshowSettings:properties", "--add-modules", _MODULE, "-version"],
            capture_output=True,
            text=True,
            timeout=_PROBE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"does not run ({error})"
    text = answer.stderr + answer.stdout
    if "Unrecognized option" in text:
        return "older than Java 9"
    if _MODULE in text and answer.returncode != 0:
        return f"lacks the module {_MODULE}"
    settings = dict(
        re.findall(r"^\s+(java\.home|java\.specification\.version) = (.+)$", text, re.MULTILINE)
    )
    if answer.returncode != 0 or len(settings) < 2:
        return f"exit status {answer.returncode} to -version"
    version = int(settings["java.specification.version"].split(".")[-1])
    if not JAVA_MIN <= version <= JAVA_MAX:
        return f"is Java {version}"
    return Java(executable, Path(settings["java.home"].strip()), version)


def install_line() -> str:
    """Give the one line that installs Java here."""
    if shutil.which("apt-get"):
        sudo = "" if os.geteuid() == 0 else "sudo "
        install = f"{sudo}apt-get install -y openjdk"
        return f"{install}-17-jre-headless || {install}-21-jre-headless"
    if shutil.which("brew"):
        return "brew install openjdk@17 && export JAVA_HOME=$(brew --prefix openjdk@17)"
    return "export JAVA_HOME=<folder of a Java 17>"


def _candidates() -> Iterator[Path]:
    """Give the ``java`` programs there are, each once, in the order of preference."""
    seen = set()
    for executable in _places():
        if executable.is_file() and executable.resolve() not in seen:
            seen.add(executable.resolve())
            yield executable


def _places() -> Iterator[Path]:
    home = environment.java_home()
    if home is not None:
        yield home / "bin" / "java"
    on_path = shutil.which("java")
    if on_path is not None:
        yield Path(on_path)
    for pattern in _USUAL_PLACES:
        yield from sorted(Path("/").glob(pattern.lstrip("/")))


def main() -> int:
    """Print the ``JAVA_HOME`` of the Java found; give the exit status."""
    try:
        sys.stdout.write(f"{find_java().home}\n")
    except LocalError as error:
        sys.stderr.write(f"marketlake: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
