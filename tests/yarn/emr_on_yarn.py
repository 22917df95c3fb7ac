"""The emulator of AWS, with steps whose command lines run as they are, on the YARN of this machine.

STEP_ENVIRONMENT='{"PATH": …}' python -m tests.yarn.emr_on_yarn --port 5555
"""

from __future__ import annotations

import json
import os
import subprocess

from moto.emr.models import Cluster, Step
from moto.server import main as moto_server

from tests.infrastructure import aws_emulator, emulated_emr
from tests.marketlake.emr import emr_with_processes

STEP_ENVIRONMENT = "STEP_ENVIRONMENT"
"""Variable with all variables of a step, as JSON: those of a cluster's master."""


def _start(_cluster: Cluster, step: Step) -> subprocess.Popen[bytes]:
    return subprocess.Popen(step.args, env=json.loads(os.environ[STEP_ENVIRONMENT]))


def main() -> None:
    """Run the server."""
    emr_with_processes._start = _start
    emulated_emr._advance = emr_with_processes.advance
    aws_emulator.register()
    moto_server()


if __name__ == "__main__":
    main()
