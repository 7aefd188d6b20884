#!/usr/bin/env bash
# All tests, from nothing: formatting, lints, dependencies and spelling while the data are set up, tests with all features,
# documentation, public items, the same tests as far as they go without default features, and a model check.
# GRISTMILL_FULL=1 adds the long tier: more cases of many tests, the example of a service, Miri, servers of object stores, a count of
# instructions, and a rehearsal of the kit that measures a graphics card.
set -euo pipefail
cd "$(dirname "$0")/.."

. tests/packages.sh
step() {
    local started=$SECONDS
    printf '\n== %s\n' "$*" >&2
    "$@"
    printf '== %d s, %d s in all\n' $((SECONDS - started)) "$SECONDS" >&2
}

command -v cargo >/dev/null || { echo "cargo is missing: install Rust 1.89 or later" >&2; exit 1; }
# Linting needs no data: it runs while they are made, unless a C compiler is to be installed first.
command -v cc >/dev/null || step tests/setup.sh
log=$(mktemp)
tests/setup.sh >"$log" 2>&1 &
setup=$!
trap 'kill "$setup" 2>/dev/null || true; rm -f "$log"' EXIT
finish_setup() {
    local ended=0
    wait "$setup" || ended=$?
    trap 'rm -f "$log"' EXIT
    cat "$log" >&2
    return "$ended"
}
if cargo fmt --version >/dev/null 2>&1; then step cargo fmt --all --check; else echo "SKIPPED: cargo fmt is not installed" >&2; fi
if cargo clippy --version >/dev/null 2>&1; then
    step cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
    step cargo clippy --locked --no-default-features --all-targets -- -D warnings
else
    echo "SKIPPED: cargo clippy is not installed" >&2
fi
# Without the advisories, which take a database from the network: RELEASING.md has the full check.
if cargo deny --version >/dev/null 2>&1; then
    step cargo deny --locked --workspace check --hide-inclusion-graph licenses bans sources
else
    echo "SKIPPED: cargo deny is not installed" >&2
fi
if typos --version >/dev/null 2>&1; then step typos; else echo "SKIPPED: typos is not installed" >&2; fi
step finish_setup
# Unit tests of an unoptimized library: it is built in less time than they then take longer. All others run the optimized
# library, and in the long tier these do too.
unoptimized=(--config 'profile.dev.package.gristmill.opt-level=0')
[ "${GRISTMILL_FULL:-}" != 1 ] || unoptimized=()
step cargo test --locked --all-features "${packages[@]}" --lib "${unoptimized[@]}"
step cargo build --locked --all-features "${packages[@]}" --examples
step cargo test --locked --all-features "${packages[@]}" --bins --test '*'
step cargo test --locked --all-features "${packages[@]}" --doc
# The Python package: its wheel in a fresh environment.
step tests/python/run.sh
# The example of a service, a package of its own, which builds the library anew with other features.
if [ "${GRISTMILL_FULL:-}" = 1 ]; then step cargo test --locked -p gristmill-serve; fi
step env RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --all-features
# The public items against their listing: a change of the interface shows as a diff.
step tests/scripts/public_items.py --check
# Without default features all is linted above, and the unit tests run; the rest runs the same code as with them.
step cargo test --locked --no-default-features --lib "${unoptimized[@]}"
if [ "${GRISTMILL_FULL:-}" = 1 ]; then step cargo test --locked --no-default-features --test import --test operators; fi
# The core of a bulk job under a model checker.
step cargo test --locked -p gristmill-model-check shuttle
# Memory code under an interpreter that finds undefined behaviour.
if [ "${GRISTMILL_FULL:-}" = 1 ]; then step tests/miri.sh; fi
# Inputs in object stores, against servers that others wrote.
if [ "${GRISTMILL_FULL:-}" = 1 ]; then step tests/stores/run.sh; fi
# Instructions of the kernels, which do not depend on how busy the machine is; skips itself where there is no valgrind.
if [ "${GRISTMILL_FULL:-}" = 1 ]; then step cargo bench --locked --no-default-features --features onnx --bench instructions; fi
# The kit that measures a graphics card, rehearsed on a software adapter without network.
if [ "${GRISTMILL_FULL:-}" = 1 ]; then step benches/card/rehearse --profile dev; fi
printf '\nall tests passed\n' >&2
