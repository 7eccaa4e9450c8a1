#!/usr/bin/env bash
# The compiler of our own crates in CI (RUSTC_WORKSPACE_WRAPPER): Clippy, which writes what rustc does. A library whose tests are compiled
# as well is linted with its tests, and not a second time without them. Tests, benchmarks and the program are not optimised, unlike the
# library that they call: that took most of their compilation. The simulation computes in its own code.
set -euo pipefail
case " $* " in
*' --crate-name simulation '*) ;;
*' --test '* | *' tests/'* | *' benches/'*) set -- "$@" -Copt-level=0 ;;
*' --crate-name casebridge_testkit '* | *' --crate-name build_script_build '*) ;;
*' --crate-type bin '*) exec "$@" -Copt-level=0 -Dwarnings ;;
*) exec "$@" -Dwarnings ;;
esac
exec clippy-driver "$@"
