#!/usr/bin/env bash
# The suites against software that none of us wrote: other people's clients against the sandboxes, the Cloud SDK's emulators,
# parsers and task queue, the real Request Tracker, a clock that is set. A part that is missing fails.
set -euo pipefail
cd "$(dirname "$0")/.."
.ci/python-clients.sh
.ci/request-tracker.sh
cargo test --locked --profile "${CASEBRIDGE_PROFILE:-dev}" --no-fail-fast --test clients --test clocks --test gcloud --test request_tracker
