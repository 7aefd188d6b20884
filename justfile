# Everyday commands; each line also works when typed by hand. `just` lists them, `just --show NAME` prints one.

set positional-arguments

[private]
default:
    @just --list --unsorted

# After an edit: format, lints of the library, the floors, and unit tests of an unoptimized library but for the two slowest
quick:
    cargo fmt --all --check
    cargo clippy --locked --lib -- -D warnings
    cargo test --locked --lib --test floors --config 'profile.dev.package.gristmill.opt-level=0' -- --skip the_tokens_of_the_whole

# Before a commit: format, lints of all targets and features, documentation, public items, lints without default features
check:
    cargo fmt --all --check
    cargo clippy --locked --all-targets --all-features -- -D warnings
    cargo clippy --locked --no-default-features --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --all-features
    tests/scripts/public_items.py --check

# All tests
test:
    tests/run.sh

# All tests, with the long tier
full:
    GRISTMILL_FULL=1 tests/run.sh

# The Python wheel for any Linux with glibc 2.17 or later; needs `pip install 'maturin[zig]>=1.16,<2'`
wheel:
    maturin build --release --locked --zig --compatibility manylinux2014

# One bench, as in `just bench kernels` or `just bench backends --features gpu`
bench NAME *ARGS:
    cargo bench --locked --bench "$@"

# One fuzz target until it fails or is stopped; needs a nightly toolchain and `cargo install cargo-fuzz`
fuzz TARGET:
    @cargo fuzz --version >/dev/null 2>&1 || { echo "cargo-fuzz is missing: cargo install cargo-fuzz (or see tests/fuzz/README.md)" >&2; exit 1; }
    cargo +nightly fuzz run --fuzz-dir tests/fuzz "$1" -- -rss_limit_mb=2048

# Unit tests of the arena, tensors and their buffers, shapes and moves under Miri; needs a nightly toolchain with Miri
miri:
    tests/miri.sh
