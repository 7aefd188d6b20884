#!/usr/bin/env bash
# Jobs over inputs and into folders in object stores, against servers that others wrote: moto for S3, Azurite for Azure Blob Storage,
# fake-gcs-server for Google Cloud Storage. A server that cannot be had here is skipped and named.
set -euo pipefail
cd "$(dirname "$0")/../.."

. tests/packages.sh
cargo build -q --locked --all-features "${packages[@]}" --example embed --example verify_job
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
while read -r requirement; do
    "$folder/venv/bin/python" -m pip --disable-pip-version-check install -q "$requirement" ||
        echo "SKIPPED: $requirement cannot be installed here" >&2
done <tests/stores/requirements.txt
npm install --silent --no-audit --no-fund --prefix "$folder/npm" azurite@3.37.0 >/dev/null ||
    echo "SKIPPED: azurite cannot be installed here; it needs Node.js" >&2
PYTHONDONTWRITEBYTECODE=1 PATH="$folder/npm/node_modules/.bin:$PATH" "$folder/venv/bin/python" tests/stores/jobs.py
