#!/usr/bin/env bash
# Makes CloudWatch's agent send the stream's metrics, which it serves on the loopback of the node
# that its driver runs on, and CPU, memory and disk of every node. Run again with the same
# arguments it leaves the running agent alone.
#
#   metrics-agent.sh ENVIRONMENT REGION [PORT] [LOG-GROUP]
#
# PORT is observability.metrics_port (default 9464); LOG-GROUP takes the figures as log lines, which
# is how the agent sends them (default /marketlake/ENVIRONMENT/metrics).
# MARKETLAKE_HOME: where the configuration goes (default /opt/marketlake).
set -euo pipefail

fail() { printf 'metrics-agent: %s\n' "$*" >&2; exit 1; }
say() { printf 'metrics-agent: %s\n' "$*" >&2; }

[[ $# -ge 2 && $# -le 4 ]] || fail "2 to 4 arguments are needed, ENVIRONMENT REGION [PORT] [LOG-GROUP], not $#"
environment=$1 region=$2 port=${3:-9464} group=${4:-/marketlake/$1/metrics}
[[ $environment =~ ^[a-z][a-z0-9-]*$ ]] || fail "'$environment' is no environment; write it as dev"
[[ $region =~ ^[a-z]{2}(-[a-z]+)+-[0-9]$ ]] || fail "'$region' is no region; write it as eu-west-1"
[[ $port =~ ^[0-9]+$ && $port -ge 1 && $port -le 65535 ]] || fail "'$port' is no port; write it as 9464"
[[ $group =~ ^[A-Za-z0-9_./#-]+$ ]] || fail "'$group' is no name of a log group"
home=${MARKETLAKE_HOME:-/opt/marketlake}
folder=$home/metrics-agent

as_root() { if [[ $EUID -eq 0 ]]; then "$@"; else sudo -n "$@"; fi; }

find_agent() {
  PATH=$PATH:/opt/aws/amazon-cloudwatch-agent/bin command -v amazon-cloudwatch-agent-ctl
}

need_agent() {
  local told
  find_agent >/dev/null && return
  say "install amazon-cloudwatch-agent"
  told=$(as_root dnf install -y -q amazon-cloudwatch-agent 2>&1) || true
  find_agent >/dev/null ||
    fail "no CloudWatch agent, and dnf cannot install it ($(tail -n 1 <<<"$told")); see that the node reaches the repositories of Amazon Linux (S3 endpoint)"
}

# The prefix goes, since the namespace says it; one dimension, so that one alarm sees all nodes.
prometheus() {
  cat <<YAML
global:
  scrape_interval: 60s
  scrape_timeout: 10s
scrape_configs:
  - job_name: marketlake
    static_configs:
      - targets: ["127.0.0.1:$port"]
        labels:
          environment: $environment
    metric_relabel_configs:
      - source_labels: [__name__]
        regex: marketlake_(.+)
        action: keep
      - source_labels: [__name__]
        regex: marketlake_(.+)
        target_label: __name__
        replacement: \$1
YAML
}

agent() {
  cat <<JSON
{
  "agent": {"region": "$region", "metrics_collection_interval": 60},
  "metrics": {
    "namespace": "Marketlake",
    "aggregation_dimensions": [["environment"]],
    "metrics_collected": {
      "cpu": {
        "totalcpu": true,
        "measurement": ["usage_active"],
        "append_dimensions": {"environment": "$environment"}
      },
      "mem": {
        "measurement": ["used_percent"],
        "append_dimensions": {"environment": "$environment"}
      },
      "disk": {
        "measurement": ["used_percent"],
        "resources": ["/", "/mnt"],
        "append_dimensions": {"environment": "$environment"}
      }
    }
  },
  "logs": {
    "metrics_collected": {
      "prometheus": {
        "log_group_name": "$group",
        "prometheus_config_path": "$folder/prometheus.yaml",
        "emf_processor": {
          "metric_namespace": "Marketlake",
          "metric_declaration": [
            {
              "source_labels": ["job"],
              "label_matcher": "^marketlake\$",
              "dimensions": [["environment"]],
              "metric_selectors": [
                "^unaccounted_messages\$",
                "^table_freshness_seconds\$",
                "^last_batch_(timestamp_)?seconds\$",
                "^quarantined_messages_total\$",
                "^messages_read_total\$",
                "^batches_total\$",
                "^input_lag_messages\$"
              ]
            }
          ]
        }
      }
    }
  }
}
JSON
}

make_folder() {
  mkdir -p "$folder" 2>/dev/null && [[ -w $folder ]] && return
  as_root install -d -m 755 -o "$(id -un)" "$home" "$folder" 2>/dev/null ||
    fail "cannot make $folder; name a folder of ours by MARKETLAKE_HOME"
}

# Writes a file whole or not at all, and notes in `changed` that it is another than before.
put() {
  local scratch
  scratch=$(mktemp "$folder/.new-XXXXXX" 2>/dev/null) || fail "cannot write in $folder: make room or rights"
  if ! printf '%s\n' "$2" 2>/dev/null >"$scratch"; then
    rm -f "$scratch"
    fail "cannot write $1: make room"
  fi
  if cmp -s "$scratch" "$1"; then
    rm -f "$scratch"
    return
  fi
  changed=true
  chmod 644 "$scratch"
  mv "$scratch" "$1"
}

make_folder
need_agent
changed=false
put "$folder/prometheus.yaml" "$(prometheus)"
put "$folder/agent.json" "$(agent)"
ctl=$(find_agent)
# What was written and not taken up, as by a run that was ended, is taken up now.
if [[ $changed == false && -e $folder/started ]] && as_root "$ctl" -a status 2>/dev/null | grep -q '"status": *"running"'; then
  say "the agent runs with this configuration"
  exit 0
fi
rm -f "$folder/started"
told=$(as_root "$ctl" -a fetch-config -m ec2 -s -c "file:$folder/agent.json" 2>&1) ||
  fail "the agent refuses its configuration $folder/agent.json: $(tail -n 1 <<<"$told")"
: >"$folder/started"
say "the agent sends to namespace Marketlake, environment $environment, in $region"
