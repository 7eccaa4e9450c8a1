#!/usr/bin/env bash
# The compiler of our own crates in CI (RUSTC_WORKSPACE_WRAPPER): Clippy, which writes what rustc does. Tests and benchmarks are not
# optimised, unlike the library that they call: that took most of their compilation. The simulation computes in its own code.
set -euo pipefail
case " $* " in
*' --crate-name simulation '*) ;;
*' --test '* | *' tests/'* | *' benches/'*) set -- "$@" -Copt-level=0 ;;
esac
exec clippy-driver "$@"
