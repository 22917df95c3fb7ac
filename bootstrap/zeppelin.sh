#!/usr/bin/env bash
# Installs Zeppelin on the primary node, on the loopback only, with Livy as its way to Spark. Other
# nodes need nothing. Run again it does nothing.
#
#   zeppelin.sh ARCHIVE-URI SHA512 [NOTES-URI [CERTIFICATES-URI]]
#
# ARCHIVE-URI: zeppelin-VERSION-bin-netinst.tgz (s3://, https://, http:// or file://); SHA512 is what
# Apache publishes beside it. NOTES-URI: s3:// folder of notes, fetched once. CERTIFICATES-URI: the
# zip that EMR encrypts with between nodes; Livy is reached by TLS then.
# MARKETLAKE_HOME: where it goes (default /opt/marketlake).
set -euo pipefail

fail() { printf 'zeppelin: %s\n' "$*" >&2; exit 1; }
say() { printf 'zeppelin: %s\n' "$*" >&2; }

[[ $# -ge 2 && $# -le 4 ]] || fail "2 to 4 arguments are needed, ARCHIVE-URI SHA512 [NOTES-URI [CERTIFICATES-URI]], not $#"
uri=$1 sha512=${2,,} notes=${3:-} certificates=${4:-}
[[ $sha512 =~ ^[0-9a-f]{128}$ ]] || fail "'$2' is no SHA-512; take the one that Apache publishes beside the archive"
[[ ${uri##*/} =~ ^zeppelin-([0-9]+\.[0-9]+\.[0-9]+)-bin-[a-z]+\.tgz$ ]] || fail "'$uri' names no zeppelin-VERSION-bin-netinst.tgz"
version=${BASH_REMATCH[1]}
home=${MARKETLAKE_HOME:-/opt/marketlake}
target=$home/zeppelin-$version
instance=${MARKETLAKE_INSTANCE_INFO:-/mnt/var/lib/info/instance.json}
port=8890
# A store of certificates, which are no secret, has to have a word all the same.
trust_word=changeit

as_root() { if [[ $EUID -eq 0 ]]; then "$@"; else sudo -n "$@"; fi; }
last_line() { tail -n 1 <<<"$1" | tr -d '\r'; }

is_primary() {
  [[ -r $instance ]] || fail "$instance cannot be read: this is no node of EMR"
  grep -Eq '"isMaster" *: *true' "$instance"
}

# fetch URI FILE
fetch() {
  local told
  case $1 in
    s3://*) told=$(aws s3 cp --only-show-errors "$1" "$2" 2>&1) ;;
    https://* | http://* | file://*) told=$(curl -fsSL --retry 3 --connect-timeout 10 -o "$2" "$1" 2>&1) ;;
    *) fail "'$1' is no URI of s3, https, http or file" ;;
  esac || fail "cannot fetch $1: $(last_line "$told"); see that it is there, and that this node may read it and has room in $home"
}

# It runs as whoever logs in through Session Manager may: a port forward is the only way to it.
configure() {
  cat >"$1/conf/zeppelin-site.xml" <<XML
<?xml version="1.0"?>
<configuration>
  <property><name>zeppelin.server.addr</name><value>127.0.0.1</value></property>
  <property><name>zeppelin.server.port</name><value>$port</value></property>
  <property><name>zeppelin.notebook.dir</name><value>$home/notebooks</value></property>
  <property><name>zeppelin.interpreter.include</name><value>livy,md</value></property>
  <property><name>zeppelin.interpreter.group.default</name><value>livy</value></property>
</configuration>
XML
  if [[ -n $certificates ]]; then
    reach_livy_by_tls "$1"
  else
    sed -i 's|http://localhost:8998|http://127.0.0.1:8998|' "$1/interpreter/livy/interpreter-setting.json"
  fi
}

# Livy's certificate is the nodes', which is good for their names only. The zip, which holds their key
# too, is in a folder of ours alone, and is gone when this ends.
reach_livy_by_tls() {
  local told store=$target/conf/nodes.p12
  fetch "$certificates" "$scratch/certificates.zip"
  told=$(python3 -m zipfile -e "$scratch/certificates.zip" "$scratch" 2>&1) ||
    fail "cannot unpack $certificates: $(last_line "$told")"
  told=$(keytool -importcert -noprompt -alias nodes -file "$scratch/trustedCertificates.pem" \
    -keystore "$1/conf/nodes.p12" -storetype PKCS12 -storepass "$trust_word" 2>&1) ||
    fail "cannot trust what is in $certificates: $(last_line "$told")"
  python3 - "$1/interpreter/livy/interpreter-setting.json" "https://$(hostname -f):8998" "$store" "$trust_word" <<'PYTHON'
import json, sys

path, url, store, word = sys.argv[1:]
with open(path) as file:
    settings = json.load(file)
said = {
    "zeppelin.livy.url": url,
    "zeppelin.livy.ssl.trustStore": store,
    "zeppelin.livy.ssl.trustStorePassword": word,
    "zeppelin.livy.ssl.trustStoreType": "PKCS12",
}
for setting in settings if isinstance(settings, list) else [settings]:
    for name, value in said.items():
        known = setting["properties"].setdefault(name, {"propertyName": name, "type": "string"})
        known["defaultValue"] = value
with open(path, "w") as file:
    json.dump(settings, file, indent=2)
PYTHON
}

fetch_notes() {
  local told
  mkdir -p "$home/notebooks"
  [[ -n $notes && -z $(ls -A "$home/notebooks") ]] || return 0
  told=$(aws s3 cp --only-show-errors --recursive "$notes" "$home/notebooks" 2>&1) ||
    fail "cannot fetch the notes of $notes: $(last_line "$told")"
}

start() {
  local told
  "$home/zeppelin/bin/zeppelin-daemon.sh" status >/dev/null 2>&1 && return
  told=$("$home/zeppelin/bin/zeppelin-daemon.sh" start 2>&1) || fail "Zeppelin does not start: $(last_line "$told")"
}

if ! is_primary; then
  say "not the primary node; nothing to do"
  exit 0
fi
mkdir -p "$home" 2>/dev/null && [[ -w $home ]] || as_root install -d -m 755 -o "$(id -un)" "$home" 2>/dev/null ||
  fail "cannot make $home; name a folder of ours by MARKETLAKE_HOME"
exec 9>"$home/.lock"
flock 9
if [[ ! -d $target ]]; then
  scratch=$(mktemp -d "$home/.new-XXXXXX" 2>/dev/null) || fail "cannot write in $home: make room or rights"
  trap 'rm -rf "$scratch"' EXIT
  fetch "$uri" "$scratch/archive"
  found=$(sha512sum "$scratch/archive" | cut -d ' ' -f 1)
  [[ $found == "$sha512" ]] || fail "$uri has SHA-512 $found, not $sha512; fetch it again from Apache"
  mkdir "$scratch/tree"
  told=$(tar -xzf "$scratch/archive" -C "$scratch/tree" --strip-components 1 2>&1) ||
    fail "cannot unpack $uri in $home: $(last_line "$told"); make room"
  configure "$scratch/tree"
  mv "$scratch/tree" "$target"
fi
ln -sfn "zeppelin-$version" "$home/.zeppelin.$$" && mv -Tf "$home/.zeppelin.$$" "$home/zeppelin"
fetch_notes
start
say "Zeppelin $version answers on 127.0.0.1:$port"
