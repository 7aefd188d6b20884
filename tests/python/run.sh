#!/usr/bin/env bash
# The Python package: its wheel, built and installed into an environment of its own, and its tests there.
set -euo pipefail
cd "$(dirname "$0")/../.."

. tests/packages.sh
# The commands that vectors are compared with.
cargo build -q --locked --all-features "${packages[@]}" --example embed --example embed_images
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
export PATH="$folder/venv/bin:$PATH"
# Nothing is left in the checkout.
export PYTHONDONTWRITEBYTECODE=1 MYPY_CACHE_DIR="$folder/mypy" RUFF_CACHE_DIR="$folder/ruff"
python -m pip --disable-pip-version-check install -q -r tests/python/requirements.txt
while read -r peer; do
    python -m pip --disable-pip-version-check install -q "$peer" || echo "SKIPPED: tests with $peer, which cannot be had" >&2
done < tests/python/optional.txt
# With all of the library's features, as it is built already.
maturin build -q --locked --features all --profile dev --compatibility linux --out "$folder/wheels"
python -m pip --disable-pip-version-check install -q --no-index --no-deps "$folder"/wheels/*.whl
ruff check src/python tests/python
mypy src/python/gristmill tests/python
python -m mypy.stubtest gristmill._native --ignore-missing-stub
# From another folder: the package is the installed one.
root=$PWD
cd "$folder"
python -m pytest -q -rs -p no:cacheprovider --ignore "$root/tests/python/engines" "$root/tests/python"
[ "${GRISTMILL_FULL:-}" = 1 ] || exit 0
# In the long tier: the wheel for other machines, as docs/python.md builds it, alone in an environment.
if python -m pip --disable-pip-version-check install -q 'maturin[zig]>=1.16,<2'; then
    (cd "$root" && maturin build -q --release --locked --zig --compatibility manylinux2014 --out "$folder/manylinux")
    python3 -m venv "$folder/other"
    "$folder/other/bin/python" -m pip --disable-pip-version-check install -q "$folder"/manylinux/*.whl
    "$folder/other/bin/python" -c "import gristmill; assert gristmill.Embedder('$root/tests/goldens/encoders/bert').encode('a mill').any()"
else
    echo "SKIPPED: the manylinux wheel, as Zig's package cannot be had" >&2
fi
# And the engines of many machines: their wheels are large, and each test starts a cluster.
while read -r requirement; do
    python -m pip --disable-pip-version-check install -q "$requirement" ||
        echo "SKIPPED: $requirement cannot be installed here; its engine is not tested" >&2
done <"$root/tests/python/engines/requirements.txt"
command -v java >/dev/null || apt-get install -y --no-install-recommends openjdk-17-jre-headless >/dev/null ||
    echo "SKIPPED: Spark needs Java 17 (Debian and Ubuntu: apt-get install openjdk-17-jre-headless)" >&2
timeout --signal INT 3600 python -m pytest -q -rs -p no:cacheprovider "$root/tests/python/engines"
