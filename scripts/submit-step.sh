#!/usr/bin/env bash
# Runs a job as a step of the cluster, waits for it and shows its log:
# scripts/submit-step.sh [--env ENV] [OPTIONS] JOB [ARGUMENTS].
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
"$root/scripts/setup"
exec "$root/.venv/bin/marketlake" emr submit "$@"
