#!/usr/bin/env bash
# Stands for rustdoc in `cargo test --doc`: documents the crate whose examples would be tested, where a warning is an error. The
# dependencies are those that are compiled already; `cargo doc` would check all of them anew.
set -euo pipefail
documenting=
arguments=()
while (($#)); do
  case $1 in
    --test) documenting=yes ;;
    --test-run-directory | --test-args | --test-runtool | --test-runtool-arg) shift ;;
    --test-run-directory=* | --test-args=*) ;;
    *) arguments+=("$1") ;;
  esac
  shift
done
[ -n "$documenting" ] || exec rustdoc "${arguments[@]}"
exec rustdoc -D warnings --document-private-items --out-dir "$(dirname "$(realpath "$0")")/../target/doc" "${arguments[@]}"
