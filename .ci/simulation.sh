#!/usr/bin/env bash
# The deterministic simulation (tests/simulation/main.rs), optimised: 10,000 histories, every reproduction, and the proof that the
# absence of a rule is noticed. With arguments: only the tests of these names, as in
#
#   CASEBRIDGE_HISTORIES=1000000 .ci/simulation.sh histories
#   CASEBRIDGE_SEED=7 .ci/simulation.sh replay
set -euo pipefail
cd "$(dirname "$0")/.."

# Optimised, as CI compiles all its tests (Cargo.toml). Assertions stay on.
exec cargo test --locked --profile ci --test simulation -- --nocapture --test-threads=1 "$@"
