#!/usr/bin/env bash
# Unpacks the Python environment of a node, named by its digest, for what is not submitted with one
# of its own: notebooks, Livy, a shell. Run again it does nothing.
#
#   environment.sh ARCHIVE-URI SHA256        (s3://, https://, http:// or file://)
#
# MARKETLAKE_HOME: where it goes (default /opt/marketlake); `current` there is the one in use.
set -euo pipefail

fail() { printf 'environment: %s\n' "$*" >&2; exit 1; }
say() { printf 'environment: %s\n' "$*" >&2; }

[[ $# -eq 2 ]] || fail "2 arguments are needed, ARCHIVE-URI and SHA256, not $#"
uri=$1 sha256=$2
[[ $sha256 =~ ^[0-9a-f]{64}$ ]] || fail "'$sha256' is no SHA-256; name the one that scripts/package printed"
home=${MARKETLAKE_HOME:-/opt/marketlake}
target=$home/environments/$sha256

as_root() { if [[ $EUID -eq 0 ]]; then "$@"; else sudo -n "$@"; fi; }

# Gives the last line of what a command wrote, for a message of one line.
last_line() { tail -n 1 <<<"$1" | tr -d '\r'; }

make_home() {
  local made
  mkdir -p "$home/environments" 2>/dev/null && [[ -w $home/environments ]] && return
  made=$(as_root install -d -m 755 -o "$(id -un)" "$home" "$home/environments" 2>&1) ||
    fail "cannot make $home ($(last_line "$made")); name a folder of ours by MARKETLAKE_HOME"
}

fetch() {
  local told
  case $uri in
    s3://*) told=$(aws s3 cp --only-show-errors "$uri" "$1" 2>&1) ;;
    https://* | http://* | file://*) told=$(curl -fsSL --retry 3 --connect-timeout 10 -o "$1" "$uri" 2>&1) ;;
    *) fail "'$uri' is no URI of s3, https, http or file" ;;
  esac || fail "cannot fetch $uri: $(last_line "$told"); see that it is there, and that this node may read it and has room in $home"
}

# The environment is a link to the node's own Python.
need_python() {
  local python told
  python=$(readlink "$1/bin/python") || fail "$uri is no packed environment: no bin/python in it"
  [[ -x $python ]] && return
  say "install ${python##*/}"
  told=$(as_root dnf install -y -q "${python##*/}" 2>&1) || true
  [[ -x $python ]] ||
    fail "$python is absent and dnf cannot install it ($(last_line "$told")); pack with --interpreter of a Python that the nodes have"
}

use() {
  [[ $(readlink "$home/current") == "environments/$sha256" ]] && return
  ln -sfn "environments/$sha256" "$home/.current.$$" && mv -Tf "$home/.current.$$" "$home/current"
}

make_home
exec 9>"$home/.lock"
flock 9
if [[ -d $target ]]; then
  use
  say "$sha256 is there"
  exit 0
fi

scratch=$(mktemp -d "$home/environments/.new-XXXXXX" 2>/dev/null) || fail "cannot write in $home/environments: make room or rights"
trap 'rm -rf "$scratch"' EXIT
fetch "$scratch/archive"
found=$(sha256sum "$scratch/archive" | cut -d ' ' -f 1)
[[ $found == "$sha256" ]] || fail "$uri has SHA-256 $found, not $sha256; upload it again, or name the digest it has"
mkdir "$scratch/tree"
told=$(tar -xzf "$scratch/archive" -C "$scratch/tree" 2>&1) || fail "cannot unpack $uri in $home: $(last_line "$told"); make room"
need_python "$scratch/tree"
told=$("$scratch/tree/bin/python" -c 'import deltalake, numba, numpy, pandas, pyarrow' 2>&1) ||
  fail "the environment does not run on this node: $(last_line "$told"); pack it for this machine's Linux"
chmod 755 "$scratch/tree"
mv "$scratch/tree" "$target"
use
say "$sha256 unpacked to $target"
