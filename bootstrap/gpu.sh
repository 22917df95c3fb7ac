#!/usr/bin/env bash
# Sees to it that a node with a GPU can use it, and puts the discovery script for Spark in place.
# A node without one needs nothing: it says so and ends. Run again it changes nothing.
#
#   gpu.sh [MIN-DRIVER]                      (default 535: what CUDA 12.2 needs)
#
# MARKETLAKE_HOME: where gpu-discovery.sh goes (default /opt/marketlake).
set -euo pipefail

fail() { printf 'gpu: %s\n' "$*" >&2; exit 1; }
say() { printf 'gpu: %s\n' "$*" >&2; }

wanted=${1:-535}
[[ $# -le 1 && $wanted =~ ^[0-9]+$ ]] || fail "'$*' is no major version of a driver; write it as 535"
home=${MARKETLAKE_HOME:-/opt/marketlake}
devices=${MARKETLAKE_PCI_DEVICES:-/sys/bus/pci/devices}

as_root() { if [[ $EUID -eq 0 ]]; then "$@"; else sudo -n "$@"; fi; }

# NVIDIA's own number for a maker, and the class of displays and of 3D accelerators.
count_gpus() {
  local device count=0
  for device in "$devices"/*; do
    [[ -r $device/vendor && -r $device/class ]] || continue
    if [[ $(<"$device/vendor") == 0x10de && $(<"$device/class") == 0x03* ]]; then
      count=$((count + 1))
    fi
  done
  printf '%s\n' "$count"
}

install_discovery() {
  local file=$home/gpu-discovery.sh scratch
  scratch=$(mktemp)
  # Spark reads one line of JSON: the addresses that a worker hands to CUDA_VISIBLE_DEVICES.
  cat >"$scratch" <<'DISCOVERY'
#!/usr/bin/env bash
set -euo pipefail
found=$(nvidia-smi --query-gpu=index --format=csv,noheader) || { echo "gpu-discovery: nvidia-smi does not answer" >&2; exit 1; }
addresses=$(tr -d ' ' <<<"$found" | sed -e 's/.*/"&"/' | paste -sd , -)
printf '{"name": "gpu", "addresses": [%s]}\n' "$addresses"
DISCOVERY
  if ! cmp -s "$scratch" "$file"; then
    mkdir -p "$home" 2>/dev/null && [[ -w $home ]] || as_root install -d -m 755 -o "$(id -un)" "$home" ||
      fail "cannot make $home; name a folder of ours by MARKETLAKE_HOME"
    install -m 755 "$scratch" "$file" 2>/dev/null || fail "cannot write $file: make room or rights"
  fi
  rm -f "$scratch"
}

gpus=$(count_gpus)
if [[ $gpus -eq 0 ]]; then
  say "no NVIDIA device on this node; nothing to do"
  exit 0
fi
command -v nvidia-smi >/dev/null || fail "$gpus NVIDIA devices, but no nvidia-smi: choose an EMR release or image with the driver"
versions=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>&1) ||
  fail "nvidia-smi does not answer: $(tail -n 1 <<<"$versions"); the driver does not match the kernel, or the device has failed: replace the node"
answered=$(grep -c . <<<"$versions" || true)
[[ $answered -eq $gpus ]] || fail "$gpus NVIDIA devices, but the driver knows $answered; replace the node"
driver=${versions%%$'\n'*}
[[ ${driver%%.*} =~ ^[0-9]+$ && ${driver%%.*} -ge $wanted ]] ||
  fail "driver $driver is older than $wanted; choose an EMR release or image with a newer one"
install_discovery
say "$gpus devices, driver $driver; discovery script: $home/gpu-discovery.sh"
