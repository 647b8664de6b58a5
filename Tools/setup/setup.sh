#!/usr/bin/env bash
# Installs what the build needs and is missing: system libraries with apt, libtorch and Apache Arrow out of their Python wheels into .deps.
# usage: setup.sh cpu|cuda. Does nothing the second time. LIBTORCH=FOLDER uses a libtorch (2.11 or newer) that is already there.
set -euo pipefail
cd "$(dirname "$0")/../.."
variant=${1:-cpu}
version=2.13.0
arrow_version=26.0.1

packages=()
for entry in simdjson.h:libsimdjson-dev oniguruma.h:libonig-dev cairo/cairo.h:libcairo2-dev \
    zlib.h:zlib1g-dev zstd.h:libzstd-dev; do
    [ -e "/usr/include/${entry%%:*}" ] || packages+=("${entry##*:}")
done
for entry in pkg-config:pkg-config unzip:unzip; do
    command -v "${entry%%:*}" >/dev/null || packages+=("${entry##*:}")
done
if [ ${#packages[@]} -gt 0 ]; then
    echo "setup: installing ${packages[*]} with apt-get"
    as_root=(); [ "$(id -u)" = 0 ] || as_root=(sudo)
    "${as_root[@]}" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq "${packages[@]}" >/dev/null
fi

fetch() { python3 -m pip download -q --disable-pip-version-check --no-deps --dest "$work" "$1"; }
work=; trap '[ -z "$work" ] || rm -rf "$work"' EXIT
mkdir -p .deps

if [ "$(cat .deps/arrow/version 2>/dev/null)" != "$arrow_version" ]; then
    echo "setup: fetching Apache Arrow from the pyarrow $arrow_version wheel into .deps/arrow"
    work=$(mktemp -d .deps/setup.XXXXXX)
    fetch "pyarrow==$arrow_version"
    unzip -q "$work"/pyarrow-*.whl 'pyarrow/include/arrow/*' 'pyarrow/include/parquet/*' 'pyarrow/libarrow.so.*' 'pyarrow/libparquet.so.*' -d "$work"
    rm -rf .deps/arrow
    mkdir -p .deps/arrow/include .deps/arrow/lib
    mv "$work"/pyarrow/include/* .deps/arrow/include/
    mv "$work"/pyarrow/lib*.so.* .deps/arrow/lib/
    for library in arrow parquet; do ln -s "$(basename .deps/arrow/lib/lib$library.so.*)" ".deps/arrow/lib/lib$library.so"; done
    echo "$arrow_version" > .deps/arrow/version
    rm -rf "$work"
fi

if [ -n "${LIBTORCH:-}" ]; then
    [ -e "$LIBTORCH/include/torch/csrc/api/include/torch/torch.h" ] || {
        echo "setup: LIBTORCH=$LIBTORCH holds no include/torch; point it at a libtorch folder or unset it." >&2; exit 64; }
    exit 0
fi
if [ -e .deps/libtorch/version ] && [ "$(cat .deps/libtorch/version)" = "$version $variant" ]; then exit 0; fi

echo "setup: fetching libtorch $version ($variant) from the PyTorch wheel into .deps/libtorch"
work=$(mktemp -d .deps/setup.XXXXXX)
if [ "$variant" = cpu ]; then
    fetch "torch==$version+cpu" 2>/dev/null || fetch "torch==$version"
else
    fetch "torch==$version"
fi
unzip -q "$work"/torch-*.whl 'torch/lib/*' 'torch/include/*' -d "$work"
rm -rf .deps/libtorch
mkdir -p .deps/libtorch
mv "$work/torch/lib" "$work/torch/include" .deps/libtorch/
rm -f .deps/libtorch/lib/libtorch_python.so
echo "$version $variant" > .deps/libtorch/version
