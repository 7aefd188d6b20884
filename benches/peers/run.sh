#!/usr/bin/env bash
# Gristmill's release examples and their peers on the same inputs: one command, one table. Options: run.sh --help;
# run.sh --process-pool is the table of docs/from-process-pool.md.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cd "$root"
[ "${1:-}" = --help ] && exec python3 "$here/bench.py" --help
tests/setup.sh
data=${GRISTMILL_TEST_DATA:-$root/tests/data}
stamp=$(cksum <"$here/requirements.txt")
if [ "$(cat "$data/peers-venv/requirements.stamp" 2>/dev/null)" != "$stamp" ]; then
    rm -rf "$data/peers-venv"
    python3 -m venv "$data/peers-venv"
    # One by one, so that a peer that this machine cannot have does not take the others with it.
    grep -v '^#' "$here/requirements.txt" | while read -r requirement; do
        "$data/peers-venv/bin/python" -m pip --disable-pip-version-check install -q "$requirement" ||
            echo "peers: $requirement cannot be installed here; it will be missing from the table" >&2
    done
    printf '%s\n' "$stamp" >"$data/peers-venv/requirements.stamp"
fi
cargo build --locked --release --example identify --example embed --example run
if [ "${1:-}" = --process-pool ]; then
    shift
    embed=${CARGO_TARGET_DIR:-$root/target}/release/examples/embed
    exec "$data/peers-venv/bin/python" "$here/process_pool.py" --data "$data" --embed "$embed" "$@"
fi
cargo build --locked --release --manifest-path "$here/rust/Cargo.toml" --target-dir "${CARGO_TARGET_DIR:-$root/target}" ||
    echo "peers: the Rust peers cannot be built here; they will be missing from the table" >&2
latency=$(cargo bench --locked --bench latency --no-run --message-format json |
    sed -n 's/.*"name":"latency".*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
exec "$data/peers-venv/bin/python" "$here/bench.py" --data "$data" --latency "$latency" "$@"
