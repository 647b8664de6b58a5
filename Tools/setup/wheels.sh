# shellcheck shell=bash disable=SC2034,SC2154    # variables are shared with setup.sh
# libtorch and Apache Arrow, out of their Python wheels: part of setup.sh.

torch_version=2.13.0
arrow_version=26.0.1
torch_index=https://download.pytorch.org/whl/cpu

# What FOLDER/version says, or nothing where one of its files is missing: installed FOLDER FILE.
installed() { [ ! -e "$1/$2" ] || cat "$1/version" 2>/dev/null || true; }

has_arrow() { [ "$(installed .deps/arrow lib/libarrow.so)" = "$arrow_version" ]; }

# Whether libtorch is there in a build that may be used. The version file names it: cpu is PyTorch's CPU wheel, plain the CPU's
# half of the plain wheel, cuda13 the whole of that with NVIDIA's libraries.
has_libtorch() {
    local wanted there build
    case $variant,${TORCH_WHEEL:-} in
        cuda,*) wanted="cuda13" ;;
        *,?*) wanted=$TORCH_WHEEL ;;
        cpu,) wanted="cpu plain" ;;
        *) wanted="cpu plain cuda13" ;;
    esac
    there=$(installed .deps/libtorch lib/libtorch_cpu.so)
    # Earlier scripts called the plain wheel cpu, and left out what it needs.
    [ "$there" != "$torch_version cpu" ] || [ ! -e .deps/libtorch/lib/libtorch_cuda.so ] || return 1
    for build in $wanted; do [ "$there" != "$torch_version $build" ] || return 0; done
    return 1
}

wheels_missing() { ! has_arrow || { [ -z "${LIBTORCH:-}" ] && ! has_libtorch; }; }

# Downloads wheels into $work, any Python's: only the libraries in them matter. fetch REQUIREMENT [OPTION...].
fetch() {
    local quiet=-q; [ ! -t 1 ] || quiet=
    TMPDIR=$work python3 -m pip download ${quiet:+"$quiet"} --disable-pip-version-check --no-cache-dir --only-binary=:all: \
        --implementation cp --python-version 3.11 --dest "$work" "$@" 2>"$work/log"
}

# Why the last fetch came to nothing.
pip_says() {
    if grep -q -i 'no space left' "$work/log"; then echo "the disk is full"
    elif grep -q -E 'NewConnectionError|ConnectTimeout|ReadTimeout|ProtocolError|IncompleteRead|ProxyError|SSLError|ResolutionError' "$work/log"; then
        echo "the Python index cannot be reached"
    else
        { grep '^ERROR: ' "$work/log" || tail -n 1 "$work/log"; } | tail -n 1 | sed 's/^ERROR: //'
    fi
}

fetch_or_fail() {
    fetch "$@" || fail "$1 could not be downloaded: $(pip_says). Check the network and 'python3 -m pip config list', and run 'make setup' again."
}

# Takes files out of the wheels of a project: unpack WHEEL PATTERN...
unpack() {
    unzip -q -o "$1" "${@:2}" -d "$work" 2>"$work/log" ||
        fail "$(basename "$1") could not be unpacked: $(tail -n 1 "$work/log") (Is the disk full?) Run 'make setup' again."
}

install_arrow() {
    ! has_arrow || return 0
    step="fetching Apache Arrow"
    needs_room 400 "Apache Arrow"
    say "fetching Apache Arrow from the pyarrow $arrow_version wheel into .deps/arrow"
    new_work
    fetch_or_fail "pyarrow==$arrow_version" --no-deps
    count "$work"/*.whl
    unpack "$work"/pyarrow-*.whl 'pyarrow/include/arrow/*' 'pyarrow/include/parquet/*' 'pyarrow/libarrow.so.*' 'pyarrow/libparquet.so.*'
    mkdir -p "$work/arrow/include" "$work/arrow/lib"
    mv "$work"/pyarrow/include/* "$work/arrow/include/"
    mv "$work"/pyarrow/lib*.so.* "$work/arrow/lib/"
    for library in arrow parquet; do ln -s "$(basename "$work"/arrow/lib/lib$library.so.*)" "$work/arrow/lib/lib$library.so"; done
    echo "$arrow_version" >"$work/arrow/version"
    rm -rf .deps/arrow
    mv "$work/arrow" .deps/arrow
    say "installed Apache Arrow; $counted were downloaded"
}

install_libtorch() {
    local kind
    ! has_libtorch || return 0
    step="fetching libtorch"
    new_work
    if [ "$variant" = cuda ]; then
        needs_room 12000 "the CUDA build of libtorch"
        fetch_plain
        kind=cuda13
    else
        needs_room 2500 "libtorch"
        if [ "${TORCH_WHEEL:-}" != plain ] && fetch_cpu; then kind=cpu
        elif [ "${TORCH_WHEEL:-}" = cpu ]; then
            fail "PyTorch's CPU wheel torch==$torch_version+cpu could not be downloaded: $(pip_says). Check the network, or take the plain wheel with TORCH_WHEEL=plain."
        else fetch_plain; kind=plain; fi
    fi
    count "$work"/*.whl
    step="unpacking libtorch"
    local wheel=("$work"/torch-*.whl)
    mkdir -p "$work/torch/lib"
    if [ "$kind" = plain ]; then
        unpack "${wheel[0]}" 'torch/lib/*' 'torch/include/*' -x 'torch/lib/*cuda*' 'torch/lib/*nvrtc*' 'torch/lib/*nvshmem*' '*_python.so'
        for wheel in "$work"/nvidia_*.whl; do
            unzip -q -o -j "$wheel" 'nvidia/*/lib/libcupti.so.*' 'nvidia/*/lib/libcudart.so.*' -d "$work/torch/lib" 2>/dev/null || true
        done
        # libtorch.so is empty in both builds; here it would ask for the CUDA half.
        ln -sf libtorch_cpu.so "$work/torch/lib/libtorch.so"
    else
        unpack "${wheel[0]}" 'torch/lib/*' 'torch/include/*' -x '*_python.so'
        [ "$kind" = cpu ] || for wheel in "$work"/nvidia_*.whl; do unpack "$wheel" 'nvidia/*/lib/*'; done
    fi
    place_libtorch
    say "installed libtorch $torch_version ($kind); $counted were downloaded"
}

# PyTorch's CPU wheel: from the Python index where it has one, else from PyTorch's.
fetch_cpu() {
    say "fetching libtorch $torch_version from the PyTorch wheel for CPUs (some 190 MB) into .deps/libtorch"
    fetch "torch==$torch_version+cpu" --no-deps || fetch "torch==$torch_version+cpu" --no-deps --index-url "$torch_index" --retries 1 --timeout 15
}

# The plain wheel, which is the CUDA build, and those of NVIDIA's that its METADATA names: for the CPU only what libtorch_cpu.so asks for.
fetch_plain() {
    local requirements=() wheel size="540 MB"
    [ "$variant" != cuda ] || size="2.2 GB"
    say "fetching libtorch $torch_version from the plain PyTorch wheel and NVIDIA's (some $size) into .deps/libtorch"
    fetch_or_fail "torch===$torch_version" --no-deps
    wheel=("$work"/torch-*.whl)
    mapfile -t requirements < <(unzip -p "${wheel[0]}" '*.dist-info/METADATA' | sed -n 's/^Requires-Dist: \(\(cuda-toolkit\|nvidia-\)[^ ;]*\).*/\1/p')
    if [ "$variant" != cuda ]; then
        mapfile -t requirements < <(printf '%s\n' "${requirements[@]}" | sed -n 's/^cuda-toolkit\[.*\]/cuda-toolkit[cudart,cupti]/p')
    fi
    [ ${#requirements[@]} -gt 0 ] || fail "the plain wheel torch===$torch_version does not name the NVIDIA libraries that it needs; take PyTorch's CPU wheel with TORCH_WHEEL=cpu."
    fetch_or_fail "${requirements[@]}"
}

# Puts what was unpacked in its place, once it is known to start. NVIDIA's libraries lie in ../../nvidia of its lib,
# where it looks for them: in $work as in .deps.
place_libtorch() {
    local lacking folder=$work/torch
    lacking=$(ldd "$folder/lib/libtorch.so" | awk '/not found/ { print $1 }' | sort -u | tr '\n' ' ')
    [ -z "$lacking" ] || fail "libtorch $torch_version ($kind) needs ${lacking% }, which its wheels did not bring; please report this."
    echo "$torch_version $kind" >"$folder/version"
    rm -rf .deps/libtorch .deps/nvidia
    [ ! -d "$work/nvidia" ] || mv "$work/nvidia" .deps/nvidia
    mv "$folder" .deps/libtorch
}
