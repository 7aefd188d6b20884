#!/usr/bin/env bash
# Unit tests of the arena, tensors and their buffers, shapes and moves under Miri; skips itself where there is no nightly
# toolchain with Miri.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! cargo +nightly miri --version >/dev/null 2>&1; then
    echo "SKIPPED: Miri is missing: rustup toolchain install nightly --component miri" >&2
    exit 0
fi
cargo +nightly miri test --locked --no-default-features --lib -- tensor:: shape:: kernels::strided kernels::transpose kernels::broadcast
