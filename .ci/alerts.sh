#!/usr/bin/env bash
# The alerts as Prometheus reads them: the rules and their tests (promtool), what a running service shows, and a Prometheus that scrapes it:
# every rule is evaluated without an error and none fires; after a task that is given up, one does.
#
#   .ci/alerts.sh [BINARY [PORT]]        needs promtool and prometheus (Debian's package prometheus), curl and python3
set -euo pipefail
cd "$(dirname "$0")/.."
binary=${1:-target/ci/casebridge}
port=${2:-11060}
service=http://127.0.0.1:$port
prometheus=http://127.0.0.1:$((port + 3))

work=$(mktemp -d)
processes=()
cleanup() {
  ((${#processes[@]} == 0)) || kill "${processes[@]}" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
fail() {
  echo "alerts: $1" >&2
  for log in "$work"/*.log; do tail -n 20 "$log" >&2; done
  exit 1
}
# Waits up to five minutes for a command to succeed: a busy machine is slow.
until_true() {
  local what=$1 try
  shift
  for try in $(seq 1500); do
    if "$@" >/dev/null 2>&1; then return; fi
    sleep 0.2
  done
  fail "$what"
}
for program in promtool prometheus; do
  command -v "$program" >/dev/null || fail "$program is missing: apt-get install -y --no-install-recommends prometheus"
done

python3 deploy/alerts/generate.py --check
promtool check rules deploy/prometheus/casebridge.rules.yml
promtool test rules deploy/prometheus/tests/*.yml
# What the policies of App Engine and Cloud Run ask for.
python3 deploy/alerts/generate.py --promql >"$work/promql.yml"
cp deploy/alerts/promql-tests.yml "$work"
promtool check rules "$work/promql.yml"
promtool test rules "$work/promql-tests.yml"

"$binary" sandbox --port "$port" >"$work/sandbox.log" 2>&1 &
processes+=($!)
polled() { curl -sf "$service/metrics" | grep -q '^casebridge_proof_age_seconds{side="company"}'; }
until_true 'the service was not polled' polled

# promtool reads the older text format, in which a count's name ends in _total on each line.
curl -sf "$service/metrics" | awk '
  /^# HELP/ { help = $0; next }
  /^# TYPE/ {
    suffix = $4 == "counter" ? "_total" : $4 == "info" ? "_info" : ""
    sub(" " $3 " ", " " $3 suffix " ", help)
    print help "\n# TYPE " $3 suffix " " ($4 == "info" ? "gauge" : $4)
    next
  }
  { print }' >"$work/metrics"
promtool check metrics <"$work/metrics" || fail 'promtool finds fault with the metrics'

# As in deploy/prometheus/prometheus.yml, only faster; this sandbox has no admin token.
sed 's/^  interval: .*/  interval: 1s/' deploy/prometheus/casebridge.rules.yml >"$work/casebridge.rules.yml"
sed -e '/authorization:/d' -e 's/scrape_interval: .*/scrape_interval: 1s/' -e "s/127.0.0.1:8080/127.0.0.1:$port/" \
  deploy/prometheus/prometheus.yml >"$work/prometheus.yml"
promtool check config "$work/prometheus.yml" >/dev/null || fail 'promtool finds fault with deploy/prometheus/prometheus.yml'
prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/data" --web.listen-address="${prometheus#http://}" \
  >"$work/prometheus.log" 2>&1 &
processes+=($!)

# Succeeds once each rule was evaluated over a scrape; ends with an error if one cannot be.
cat >"$work/rules.py" <<'END'
import json, sys
groups = json.load(sys.stdin)["data"]["groups"]
rules = [rule for group in groups for rule in group["rules"]]
known = {line.split(": ")[1].strip() for line in open("deploy/prometheus/casebridge.rules.yml") if "- alert: " in line}
bad = [(rule["name"], rule["lastError"]) for rule in rules if rule["health"] == "err"]
assert not bad, bad
sys.exit(0 if {rule["name"] for rule in rules if rule["health"] == "ok"} == known else 1)
END
evaluated() { curl -sf "$prometheus/api/v1/rules" | python3 "$work/rules.py"; }
scraped() { curl -sf "$prometheus/api/v1/query?query=count_over_time(casebridge_build_info%5B1h%5D)%20%3E%203" | grep -q '"value"'; }
until_true 'Prometheus does not read the service' scraped
until_true 'a rule is not evaluated' evaluated
python3 - "$prometheus" <<'END' || fail 'a panel of the dashboard asks for what Prometheus cannot answer'
import json, sys, urllib.parse, urllib.request
panels = json.load(open("deploy/grafana/casebridge.json"))["panels"]
for query in [target["expr"] for panel in panels for target in panel.get("targets", [])]:
    with urllib.request.urlopen(f"{sys.argv[1]}/api/v1/query?query={urllib.parse.quote(query)}") as answer:
        assert json.load(answer)["status"] == "success", query
END
firing() {
  curl -sf "$prometheus/api/v1/alerts" | python3 -c 'import json, sys
alerts = json.load(sys.stdin)["data"]["alerts"]
print(*sorted(alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"))'
}
[ -z "$(firing)" ] || fail "a healthy service fires $(firing)"

# To a person such a task answers 404.
status=$(curl -s -o /dev/null -w '%{http_code}' -X POST "$service/tasks/sync-google-case" -H 'content-type: application/json' \
  -d '{"case_name": "organizations/123/cases/404"}')
[ "$status" = 404 ] || fail "the task for an unknown case answered $status"
fires() { [ "$(firing)" = CasebridgeTasksGivenUp ]; }
until_true 'a task that was given up fires no alert' fires
echo "alerts: Prometheus evaluates $(grep -c -- '- alert:' deploy/prometheus/casebridge.rules.yml) rules over what the service shows"
