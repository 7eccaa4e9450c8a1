#!/bin/sh
# Makes the Python environment that tests/clients.rs runs other people's clients in, and prints its interpreter. Does nothing if it
# is there and up to date.
set -eu
cd "$(dirname "$0")/.."
venv=target/clients-venv
requirements=tests/clients/requirements.txt
if ! cmp -s "$requirements" "$venv/installed.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements" >&2
    # Last, so that an installation that broke off is begun again.
    cp "$requirements" "$venv/installed.txt"
fi
echo "$PWD/$venv/bin/python"
