# The daily commands. `just` alone lists them.

default:
    @just --list

# The service with everything embedded, and both systems beside it, to watch cases travel.
sandbox *ARGS:
    cargo run --release -- sandbox {{ARGS}}

# The README's test command.
test *ARGS:
    cargo test --locked {{ARGS}}

# Against real software: other people's clients, the Cloud SDK's emulators, Request Tracker, the image.
test-real:
    .ci/real.sh

# The pages of the service and of the sandboxes, in Chromium: `just browser`, `just browser -k pause`.
browser *ARGS:
    cargo build --locked
    .ci/browser.sh target/debug/casebridge {{ARGS}}

# The whole core over models of both systems, in virtual time: `just simulate`, `CASEBRIDGE_SEED=7 just simulate replay`.
simulate *ARGS:
    .ci/simulation.sh {{ARGS}}

# Two instances of the binary, killed over and over: `CASEBRIDGE_CRASH_SEED=7 just crash 200`.
crash KILLS="200":
    CASEBRIDGE_KILLS={{KILLS}} cargo test --locked --test crashes -- --nocapture

# What CI runs.
ci:
    .ci/run

fmt:
    cargo fmt --all

lint:
    cargo clippy --locked --workspace --all-targets -- -D warnings
    cargo clippy --locked --test clients --test clocks --test gcloud --test namespaces --test request_tracker --test simulation -- -D warnings

docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

# Whether what comes in as a dependency may, and has no known weakness. The second takes the network: the RustSec database.
deny:
    PATH="$PWD/target/cargo-deny/bin:$PATH" cargo deny check -D warnings bans licenses sources

advisories:
    PATH="$PWD/target/cargo-deny/bin:$PATH" cargo deny check -D warnings advisories

# Hostile input, CASES of each kind: `just fuzz 20000`.
fuzz CASES="4096":
    PROPTEST_CASES={{CASES}} cargo test --locked --test hostile -- --nocapture
