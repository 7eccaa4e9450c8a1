#!/usr/bin/env bash
# Installs Request Tracker 5 from Debian, for tests/request_tracker.rs, and what gives it a clock of its own. Does nothing if they are there. Its own service is not used:
# the suite starts one with a database of its own.
set -euo pipefail
packages=(request-tracker5 rt5-db-sqlite rt5-standalone faketime)
missing=()
for package in "${packages[@]}"; do
  state=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
  [ "$state" = 'install ok installed' ] || missing+=("$package")
done
if ((${#missing[@]})); then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi
