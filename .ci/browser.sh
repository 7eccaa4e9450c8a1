#!/usr/bin/env bash
# Browser tests of the pages of the service and of the sandboxes (tests/browser), with Debian's Chromium. Installs what is missing, and fails
# if it cannot.
#
#   .ci/browser.sh                                        only installs
#   .ci/browser.sh target/ci/casebridge                   all tests, against that binary
#   .ci/browser.sh target/ci/casebridge -k pause          what pytest takes
set -euo pipefail
if (($#)); then
  binary=$(realpath "$1")
  shift
fi
cd "$(dirname "$0")/.."

missing=()
command -v chromium-headless-shell >/dev/null || missing+=(chromium-headless-shell)
command -v python3 >/dev/null || missing+=(python3 python3-venv)
command -v faketime >/dev/null || missing+=(faketime)
if ((${#missing[@]})); then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

venv=target/browser-venv
requirements=tests/browser/requirements.txt
if ! cmp -s "$requirements" "$venv/installed.txt"; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check --requirement "$requirements"
  # Last, so that an installation that broke off is begun again.
  cp "$requirements" "$venv/installed.txt"
fi
[ -n "${binary:-}" ] || exit 0

export PYTHONDONTWRITEBYTECODE=1
exec "$venv/bin/python" -m pytest -v --no-header -p no:cacheprovider --tb=short --binary "$binary" "$@" tests/browser
