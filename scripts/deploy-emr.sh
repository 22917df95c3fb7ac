#!/usr/bin/env bash
# Clusters on Amazon EMR: scripts/deploy-emr.sh deploy|test|info|destroy|release|backup|restore [OPTIONS].
# Sets up what is missing, then runs `marketlake emr`; each command has --help.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
case "${1:-}" in
  deploy | test | info | destroy | release | backup | restore) ;;
  *)
    printf 'deploy-emr: say deploy, test, info, destroy, release, backup or restore\n' >&2
    exit 2
    ;;
esac
"$root/scripts/setup"
exec "$root/.venv/bin/marketlake" emr "$@"
