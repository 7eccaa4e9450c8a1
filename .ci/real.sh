#!/usr/bin/env bash
# The suites against software that none of us wrote: other people's clients against the sandboxes, the Cloud SDK's emulators,
# parsers and task queue, the real Request Tracker, and the image that App Engine runs. A part that is missing fails.
set -euo pipefail
.ci/python-clients.sh
.ci/request-tracker.sh
cargo test --locked --test clients --test clocks --test gcloud --test request_tracker
.ci/dockerfile.sh
