#!/usr/bin/env bash
# The suites against software that none of us wrote: other people's clients against the sandboxes, the Cloud SDK's emulators,
# parsers and task queue, and the image that App Engine runs. A part that is missing fails.
# Not here yet: tests/request_tracker.rs, which is unfinished. By hand: .ci/request-tracker.sh, then the test of that name.
set -euo pipefail
.ci/python-clients.sh
cargo test --locked --features real-parts --test clients --test gcloud
.ci/dockerfile.sh
