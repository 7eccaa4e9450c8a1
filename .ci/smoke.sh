#!/usr/bin/env bash
# The README's run command, as a person sees it: within minutes both sample cases stand on the other side, nobody having
# touched anything, and a comment added on one page arrives at once on the other by a poll.
set -euo pipefail
binary=$1
port=${2:-11080}
service=http://127.0.0.1:$port
csapi=http://127.0.0.1:$((port + 1))
jira=http://127.0.0.1:$((port + 2))
log=$(mktemp)

"$binary" sandbox --port "$port" >"$log" 2>&1 &
sandbox=$!
trap 'kill "$sandbox" 2>/dev/null || true; wait "$sandbox" 2>/dev/null || true' EXIT

fail() {
  echo "smoke: $1" >&2
  tail -n 40 "$log" >&2
  exit 1
}

linked() { curl -sf "$service/api/mappings" | python3 -c '
import json, sys
mappings = json.load(sys.stdin)["mappings"]
done = [m for m in mappings if m["googleCaseName"] and m["companyCaseID"] and not m["google"]["waiting_since"] and not m["company"]["waiting_since"]]
origins = len(done) >= 2 and len(done) == len(mappings)
sys.exit(0 if origins else 1)'; }

for second in $(seq 300); do
  kill -0 "$sandbox" 2>/dev/null || fail 'the sandbox ended'
  if linked 2>/dev/null; then break; fi
  [ "$second" -lt 300 ] || fail 'the sample cases were not mirrored within five minutes'
  sleep 1
done
echo "smoke: the sample cases stand on both sides after $second s"

case_name=$(curl -sf "$service/api/mappings" | python3 -c 'import json, sys; print(json.load(sys.stdin)["mappings"][0]["googleCaseName"])')
issue=$(curl -sf "$service/api/mappings" | python3 -c 'import json, sys; print(json.load(sys.stdin)["mappings"][0]["companyCaseID"])')
curl -sf -X POST "$csapi/v2/$case_name/comments" -H 'content-type: application/json' -d '{"body": "smoke test says hello"}' >/dev/null
curl -sf -X POST "$service/tasks/poll-google" >/dev/null || fail 'poll-google failed'
for second in $(seq 300); do
  if curl -sf "$jira/rest/api/2/issue/$issue/comment" | grep -q 'smoke test says hello'; then break; fi
  [ "$second" -lt 300 ] || fail 'a comment did not arrive'
  sleep 0.5
done
echo 'smoke: a comment added at Google stands in Jira'

kill -TERM "$sandbox"
wait "$sandbox" || fail 'the sandbox did not stop well'
trap - EXIT
echo 'smoke: stopped on SIGTERM'
