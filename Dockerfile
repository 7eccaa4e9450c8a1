# The service as App Engine flexible runs it: one binary, no shell, no root.
#
#   docker build -t casebridge .
#
# Elsewhere than on App Engine nothing takes forged X-Appengine-* headers away, so only tokens are a proof there:
#
#   docker run --rm -p 127.0.0.1:8080:8080 -e CASEBRIDGE_SERVER__LISTEN=0.0.0.0:8080 -e CASEBRIDGE_SERVER__TRUST=token \
#     -e CASEBRIDGE_SERVER__LOG_FORMAT=json -e CASEBRIDGE_SERVER__ADMIN_TOKEN=env:ADMIN_TOKEN -e ADMIN_TOKEN \
#     -e CASEBRIDGE_GOOGLE__PARENT=… casebridge
#
# The image has no shell to complete in and no `man`. On the machine that calls it:
#
#   docker run --rm casebridge completions bash > /etc/bash_completion.d/casebridge
#   docker run --rm casebridge man > /usr/local/share/man/man1/casebridge.1
#
# .ci/dockerfile.sh builds the last stage from a binary that exists already, on a base made of the machine's own libraries,
# and runs it; it does not run the stage `build`, which takes a public image with a Rust compiler.

ARG BUILD_IMAGE=docker.io/library/rust:1.95-bookworm
# glibc, libgcc, root certificates and the user `nonroot`; nothing else. The program needs no more: its TLS and its SQLite are
# compiled in. The same Debian as above, so that the same glibc.
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot
# Where the binary comes from: compiled here, or `prebuilt`.
ARG BINARY=build

FROM ${BUILD_IMAGE} AS build
WORKDIR /build
# Commit for `--version`, the log and the metric: `docker build --build-arg COMMIT=$(git rev-parse --short=12 HEAD) …`
ARG COMMIT=
ENV CASEBRIDGE_COMMIT=${COMMIT}
# Dependencies first, with nothing of ours to compile: this layer is made again only when they change. Cargo wants every target
# that the manifest names to have its file.
COPY Cargo.toml Cargo.lock rust-toolchain.toml build.rs ./
COPY crates/core/Cargo.toml crates/core/Cargo.toml
COPY crates/sandbox/Cargo.toml crates/sandbox/Cargo.toml
COPY crates/testkit/Cargo.toml crates/testkit/Cargo.toml
RUN mkdir -p src tests benches crates/core/src crates/sandbox/src crates/testkit/src \
    && touch crates/core/src/lib.rs crates/sandbox/src/lib.rs crates/testkit/src/lib.rs \
    && awk '/^\[\[/ { kind = $0 } /^name = / && kind == "[[test]]" { gsub(/"/, "", $3); print "tests/" $3 ".rs" } \
        /^name = / && kind == "[[bench]]" { gsub(/"/, "", $3); print "benches/" $3 ".rs" } /^\[[^\[]/ { kind = "" }' Cargo.toml \
        | xargs -r touch \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs \
    && cargo build --release --locked -p casebridge --no-default-features --features otlp \
    && rm -r src crates
COPY src src
COPY crates crates
COPY queue.yaml cron.yaml ./
# Scripts that `casebridge push` prints.
COPY deploy/push deploy/push
# Newer than what was compiled in their place.
RUN touch src/main.rs src/lib.rs crates/core/src/lib.rs crates/sandbox/src/lib.rs \
    && cargo build --release --locked -p casebridge --no-default-features --features otlp

# A binary that lies in the build context.
FROM scratch AS prebuilt
COPY casebridge /build/target/release/casebridge

FROM ${BINARY} AS binary

FROM ${BASE_IMAGE} AS service
COPY --from=binary /build/target/release/casebridge /casebridge
# `nonroot`, by number: what checks for root need not look it up.
USER 65532:65532
# App Engine sets PORT too, to the same.
ENV PORT=8080
EXPOSE 8080
# The process itself, without a shell: it gets SIGTERM, ends its running tasks and gives their leases back.
ENTRYPOINT ["/casebridge"]
CMD ["serve"]
