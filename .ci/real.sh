#!/usr/bin/env bash
# The suites against software that none of us wrote.
set -euo pipefail
.ci/python-clients.sh
cargo test --locked --features real-parts --test clients
.ci/request-tracker.sh
cargo test --locked --features real-parts --test request_tracker
