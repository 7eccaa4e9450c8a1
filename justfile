# The daily commands. `just` alone lists them.

default:
    @just --list

# The service with everything embedded, and both systems beside it, to watch cases travel.
sandbox *ARGS:
    cargo run --release -- sandbox {{ARGS}}

# The README's test command.
test *ARGS:
    cargo test --locked {{ARGS}}

# Against real software: Google's Python clients, the Cloud SDK's emulators, the CRMs' own clients.
test-real:
    .ci/python-clients.sh
    cargo test --locked --features real-parts --test clients

# What CI runs.
ci:
    .ci/run

fmt:
    cargo fmt --all

lint:
    cargo clippy --locked --all-targets --all-features -- -D warnings

docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items
