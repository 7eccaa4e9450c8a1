#!/usr/bin/env bash
# The suites against software that none of us wrote: other people's clients against the sandboxes, the Cloud SDK's emulators,
# parsers and task queue, the real Request Tracker, a clock that is set, a network with one way out. A part that is missing fails.
set -euo pipefail
cd "$(dirname "$0")/.."
.ci/python-clients.sh
.ci/request-tracker.sh

# A killed faketime leaves its semaphore, with which a later process of the same number does not start.
for file in /dev/shm/sem.faketime_sem_* /dev/shm/faketime_shm_*; do
  [ ! -e "$file" ] || [ -d "/proc/${file##*_}" ] || rm -f "$file"
done

suites() {
  local TIMEFORMAT="$*: %0R s, %0U s and %0S s of processor"
  time cargo test --locked --profile "${CASEBRIDGE_PROFILE:-dev}" --no-fail-fast "$@"
}

suites --no-run --test clients --test clocks --test gcloud --test namespaces --test request_tracker
# The two long ones beside each other, since both wait for servers.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
suites --test gcloud >"$log" 2>&1 &
gcloud=$!
status=0
suites --test clients --test clocks --test namespaces || status=$?
suites --test request_tracker || status=$?
wait "$gcloud" || status=$?
cat "$log"
exit "$status"
