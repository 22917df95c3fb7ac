#!/usr/bin/env bash
# Names clusters left running and what costs too much; exit 1 where there is any. For cron:
# 0 8 * * 1  scripts/weekly-check.sh --env dev --config settings.toml
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
"$root/scripts/setup"
exec "$root/.venv/bin/marketlake" emr weekly-check "$@"
