#!/usr/bin/env bash
# Tests what setup.sh decides on machines that lack something. Needs no network and changes nothing outside a temporary folder.
# usage: test.sh [PATTERN]: the tests whose names match. Needs bash, curl, gpg, unzip, make and python3 with pip.
# shellcheck disable=SC1091,SC2016,SC2154    # the parts are checked themselves; stubs expand their own variables
set -uo pipefail
project=$(cd "$(dirname "$0")/../.." && pwd)
world=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$world"' EXIT
source "$project/Tools/setup/test/box.sh"

failed=0 passed=0 current=

# Complains about the last run: wrong SENTENCE.
wrong() {
    failed=$((failed + 1))
    printf '%s: %s\n  status %s, output:\n    %s\n' "$current" "$1" "$status" "${said//$'\n'/$'\n'    }"
}

# The last run ended with a status and said something: expect STATUS [PATTERN...] (extended regular expressions).
expect() {
    [ "$status" = "$1" ] || { wrong "the status should be $1"; return; }
    local pattern
    for pattern in "${@:2}"; do
        grep -q -E -e "$pattern" <<<"$said" || { wrong "should say '$pattern'"; return; }
    done
    # What cannot be done is one sentence, and only one.
    [ "$1" = 0 ] || [ "$(grep -c '^setup: .*[.]$' <<<"$said")" = 1 ] || { wrong "should say one sentence"; return; }
    ! compgen -G "$BOX/project/.deps/setup.*" >/dev/null || { wrong "should leave no temporary folder"; return; }
    passed=$((passed + 1))
}

# A condition about files: holds WORDS COMMAND...
holds() { if "${@:2}" >/dev/null; then passed=$((passed + 1)); else wrong "should hold: $1"; fi; }
lacks() { ! grep -q -e "$1" "$2"; }
has() { grep -q -e "$1" "$2"; }
absent() { [ ! -e "$1" ]; }

deps=$world/box/project/.deps
swift=$deps/swift/usr/bin/swift

test_nothing_missing() {
    setup; expect 0
    holds "it says nothing" [ -z "$said" ]
    holds "apt-get is not called" lacks apt-get "$BOX/log"
}

test_packages() {
    lack git /usr/include/cairo/cairo.h '/usr/include/c++/*/vector' libxml2.so.2
    setup; expect 0 'installing git libstdc\+\+-12-dev libcairo2-dev libxml2 with apt-get' '12 MB were downloaded in all'
    holds "a stopped installation is completed first" has 'dpkg --configure -a' "$BOX/log"
    setup; expect 0
    holds "the second run says nothing" [ -z "$said" ]
}

test_no_root() {
    echo 1000 >"$BOX/user"; lack git unzip
    setup; expect 69 "needs root, which you are not; run 'apt-get install git' as root"
    stub sudo <<<'#!/bin/bash
exit 1'
    setup; expect 69 "sudo does not let you"
    stub sudo <<<'#!/bin/bash
echo "sudo $*" >>"$BOX/log"; [ "$1" = -v ] || exec "$@"'
    setup; expect 0 'installing git'
    holds "apt-get runs under sudo" has 'sudo env DEBIAN_FRONTEND=noninteractive apt-get .* install' "$BOX/log"
}

test_no_network_for_packages() {
    lack git; touch "$BOX/offline"
    setup; expect 69 "could not install git: Unable to locate package git .*Temporary failure resolving 'deb.example'"
    rm "$BOX/offline"
    setup; expect 0
}

test_no_apt() {
    lack git apt-get; echo 'PRETTY_NAME="Fedora 42" VERSION_CODENAME=' >"$BOX/system/etc/os-release"
    setup; expect 69 'Fedora 42 has no apt-get, and these are missing .*: git;'
    bring git
    setup; expect 0
}

test_unknown_distribution() {
    echo 'PRETTY_NAME="Debian 99" VERSION_CODENAME=zurg' >"$BOX/system/etc/os-release"
    setup; expect 0
    lack '/usr/include/c++/*/vector'
    sed -i 's/libstdc++-12-dev/g++/' "$BOX/table"
    setup; expect 0 'installing g\+\+'
    lack swift
    setup SWIFT_DOWNLOADS="$mirror/whole"; expect 69 'Swift 6.3 is missing, and this script knows no archive of it for Debian 99; install it'
    fake_swift 6.1 | stub swift
    setup SWIFT_DOWNLOADS="$mirror/whole"; expect 69 'swift is 6.1, 6.3 is needed, .* no archive of it for Debian 99'
    rm "$BOX/system/etc/os-release"; lack swift
    setup; expect 69 'no archive of it for this system'
}

test_machines() {
    echo riscv64 >"$BOX/machine"; setup; expect 69 'for x86_64 and aarch64, and this processor is riscv64'
    echo aarch64 >"$BOX/machine"; setup; expect 0
    echo "glibc 2.27" >"$BOX/glibc"; setup; expect 69 'glibc 2.28 or newer, and this system has glibc 2.27'
    echo "glibc 2.28" >"$BOX/glibc"; setup; expect 0
    stub getconf <<<'#!/bin/bash
exit 1'
    setup; expect 69 'has another C library'
    echo Darwin >"$BOX/kernel"; setup; expect 69 'builds on Linux; this is Darwin'
}

# Which archive fits which system.
test_archive_names() {
    lack swift
    sed 's/libpython3.11/libpython3.10/g' "$BOX/table" >"$BOX/more"; sed 's/libpython3.11/libpython3.12/g' "$BOX/table" >>"$BOX/more"
    cat "$BOX/more" >>"$BOX/table"
    local release machine url
    while read -r release machine url; do
        echo "PRETTY_NAME=Test ${release//,/ }" >"$BOX/system/etc/os-release"; echo "$machine" >"$BOX/machine"
        setup SWIFT_DOWNLOADS="$mirror/whole/none/"; expect 69 "$mirror/whole/none/swift-$swift_version-release/$url is not there .*404"
    done <<END
VERSION_CODENAME=bookworm aarch64 debian12-aarch64/swift-$swift_version-RELEASE/swift-$swift_version-RELEASE-debian12-aarch64.tar.gz
VERSION_CODENAME=jammy x86_64 ubuntu2204/swift-$swift_version-RELEASE/swift-$swift_version-RELEASE-ubuntu22.04.tar.gz
VERSION_CODENAME=wilma,UBUNTU_CODENAME=noble aarch64 ubuntu2404-aarch64/swift-$swift_version-RELEASE/swift-$swift_version-RELEASE-ubuntu24.04-aarch64.tar.gz
VERSION_CODENAME=faye,DEBIAN_CODENAME=bookworm x86_64 debian12/swift-$swift_version-RELEASE/swift-$swift_version-RELEASE-debian12.tar.gz
END
}

test_swift_from_a_mirror() {
    lack swift curl gpg libedit.so.2
    setup SWIFT_DOWNLOADS="$mirror/whole" SWIFT_KEY="$key"
    expect 0 'installing curl gpg libedit2 with' "fetching Swift $swift_version from $mirror/whole" "installed Swift $swift_version"
    holds "Swift starts" [ -x "$swift" ]
    holds "the archive is gone" [ "$(ls "$deps")" = "$(printf 'arrow\nlibtorch\nlock\nswift')" ]
    setup; expect 0
    holds "the second run says nothing" [ -z "$said" ]
    ln -s "$(command -v make)" "$BOX/bin/make"
    said=$(in_box make -n lint 2>&1); holds "make takes it" has '^.deps/swift/usr/bin/swift format lint' <(echo "$said")
    said=$(in_box SWIFT=other make -n lint 2>&1); holds "make takes the user's" has '^other format lint' <(echo "$said")
    rm "$swift"
    setup SWIFT_DOWNLOADS="$mirror/whole" SWIFT_KEY="$key"; expect 0
    echo damaged >"$swift"; chmod +x "$swift"
    setup SWIFT_DOWNLOADS="$mirror/whole" SWIFT_KEY="$key"; expect 0 'not a Swift that starts' 'installed Swift'
}

test_old_swift() {
    fake_swift 6.2.1 | stub swift
    setup SWIFT=swift; expect 64 'SWIFT=swift is not a Swift 6.3 or newer \(6.2.1\)'
    lack curl
    setup SWIFT_DOWNLOADS="$mirror/whole" SWIFT_KEY="$key"; expect 0 'swift is 6.2.1, and 6.3 is needed' 'installing curl' 'installed Swift'
    setup SWIFT=/nowhere/swift; expect 64 'it does not start'
    fake_swift 6.10 | stub later
    setup SWIFT=later; expect 0
}

test_checksum() {
    lack swift
    setup SWIFT_DOWNLOADS="$mirror/whole" SWIFT_SHA256=0123; expect 69 'has the SHA-256 [0-9a-f]{64} and not SWIFT_SHA256=0123; it is deleted'
    holds "nothing is left" [ "$(ls "$deps")" = "$(printf 'arrow\nlibtorch\nlock')" ]
    local digest; digest=$(sha256sum "$archive"); digest=${digest%% *}
    setup SWIFT_DOWNLOADS="$mirror/whole" SWIFT_SHA256="${digest^^}"; expect 0
}

test_signature() {
    lack swift
    setup SWIFT_DOWNLOADS="$mirror/whole"; expect 69 "is not by the key $swift_key; the archive is deleted"
    setup SWIFT_DOWNLOADS="$mirror/whole" SWIFT_KEY="$old_key"; expect 69 "is not by the key $old_key"
    cp "$archive" "$world/saved"; printf x | dd of="$archive" bs=1 seek=1000 conv=notrunc 2>/dev/null
    setup SWIFT_DOWNLOADS="$mirror/whole" SWIFT_KEY="$key"; expect 69 'the signature of .* does not fit it'
    cp "$world/saved" "$archive"
    mv "$world/mirror/keys/all-keys.asc" "$world/keys"; : >"$world/mirror/keys/all-keys.asc"
    setup SWIFT_DOWNLOADS="$mirror/whole" SWIFT_KEY="$key"; expect 69 'signed with a key that is not in'
    rm "$world/mirror/keys/all-keys.asc"
    setup SWIFT_DOWNLOADS="$mirror/whole" SWIFT_KEY="$key"; expect 69 'the keys https://www.swift.org/keys/all-keys.asc could not be fetched'
    cp "$world/keys" "$world/mirror/keys/all-keys.asc"
    mv "$archive.sig" "$world/new.sig"
    setup SWIFT_DOWNLOADS="$mirror/whole" SWIFT_KEY="$key"; expect 69 'signature .*.sig could not be fetched .*404.*; a mirror without signatures needs SWIFT_SHA256='
    cp "$world/old.sig" "$archive.sig"
    setup SWIFT_DOWNLOADS="$mirror/whole" SWIFT_KEY="$old_key"; expect 0    # signed before the key expired
    cp "$world/new.sig" "$archive.sig"
}

test_no_network_for_swift() {
    lack swift
    setup; expect 69 "https://download.swift.org/swift-$swift_version-release/debian12/.*-debian12.tar.gz cannot be reached"
    setup SWIFT_DOWNLOADS=http://127.0.0.1:9; expect 69 'cannot be reached .*check the network'
}

test_interrupted_download() {
    lack swift
    setup SWIFT_DOWNLOADS="$mirror/cut" SWIFT_KEY="$key"; expect 69 "was interrupted .*run 'make setup' again to go on with it"
    local half; half=$(stat -c %s "$deps"/*.part)
    : >"$world/requests"
    setup SWIFT_DOWNLOADS="$mirror/cut" SWIFT_KEY="$key"; expect 0
    holds "it goes on where it stopped" has "tar.gz bytes=$half-" "$world/requests"
    rm -r "$deps/swift"
    setup SWIFT_DOWNLOADS="$mirror/cut" SWIFT_KEY="$key"; expect 69
    setup SWIFT_DOWNLOADS="$mirror/plain" SWIFT_KEY="$key"; expect 0    # a server that cannot go on
    rm -r "$deps/swift"; cp "$archive" "$deps/$(basename "$archive").part"
    setup SWIFT_DOWNLOADS="$mirror/whole" SWIFT_KEY="$key"; expect 0    # whole, and not yet renamed
    rm -r "$deps/swift"; head -c 5000 /dev/zero >"$deps/$(basename "$archive").part"
    setup SWIFT_DOWNLOADS="$mirror/whole" SWIFT_KEY="$key"; expect 69 'does not fit it'
    setup SWIFT_DOWNLOADS="$mirror/whole" SWIFT_KEY="$key"; expect 0    # and then clean
}

test_stopped_run() {
    lack swift
    local signal
    for signal in TERM KILL; do
        : >"$world/requests"
        set -m    # a process group of its own, as from a terminal
        run_in_box SWIFT_DOWNLOADS="$mirror/slow" SWIFT_KEY="$key" bash Tools/setup/setup.sh >"$world/stopped" 2>&1 &
        set +m
        while ! has gz "$world/requests"; do sleep 0.05; done
        kill -"$signal" -- -$!
        status=0; wait $! 2>/dev/null || status=$?
        said=$(cat "$world/stopped")
        [ "$signal" = KILL ] || expect 143 'setup: stopped while fetching Swift'
    done
    setup SWIFT_DOWNLOADS="$mirror/whole" SWIFT_KEY="$key"; expect 0
}

test_disk_full() {
    echo 100 >"$BOX/free"; lack swift
    setup SWIFT_DOWNLOADS="$mirror/whole"; expect 69 'Swift needs [0-9]+ MB while it is unpacked, and the disk of .* has 100 MB left'
    bring swift; fake_swift 6.3 | stub swift; rm -r "$deps/libtorch"
    setup; expect 69 'libtorch needs [0-9]+ MB'
    rm -r "$deps/arrow"
    setup; expect 69 'Apache Arrow needs [0-9]+ MB'
    rm -r "$deps"; touch "$deps"
    setup; expect 69 '.deps cannot be written'
}

test_another_run() {
    lack git
    exec 8>"$deps/lock"; flock 8
    (sleep 1; flock -u 8) & exec 8>&-
    setup; expect 0 'waiting for another' 'installing git'
    wait $!
}

test_cpu_wheel() {
    rm -r "$deps/libtorch" "$deps/arrow"
    setup; expect 0 'installed Apache Arrow' "installed libtorch $torch_version \(cpu\)"
    holds "the CPU's wheel" has '+cpu' "$deps/libtorch/lib/libtorch_cpu.so"
    holds "Arrow is linked" has pyarrow "$deps/arrow/lib/libparquet.so"
    holds "Python's library is left out" absent "$deps/libtorch/lib/libtorch_python.so"
    setup; expect 0
    holds "the second run says nothing" [ -z "$said" ]
}

test_plain_wheel() {
    rm -r "$deps/libtorch"
    setup PIP_FIND_LINKS="$world/plain"; expect 0 "installed libtorch $torch_version \(plain\)"
    holds "PyTorch's index was asked" has "torch==$torch_version+cpu .*--index-url https://download.pytorch.org/whl/cpu" "$BOX/log"
    holds "just these libraries" [ "$(cd "$deps/libtorch/lib" && echo *)" = "libc10.so libcudart.so.13 libcupti.so.13 libnvpl_blas_core.so.0 libtorch.so libtorch_cpu.so" ]
    holds "libtorch.so is the CPU's half" [ "$(readlink "$deps/libtorch/lib/libtorch.so")" = libtorch_cpu.so ]
    holds "headers are whole" [ -e "$deps/libtorch/include/ATen/cuda/nvrtc_stub/ATenNVRTC.h" ]
    setup; expect 0
    holds "it stays" [ -z "$said" ]
    setup TORCH_WHEEL=cpu; expect 0 "\(cpu\)"
    setup TORCH_WHEEL=plain; expect 0 "\(plain\)"
    setup TORCH_WHEEL=cpu PIP_FIND_LINKS="$world/plain"; expect 69 "torch==$torch_version\+cpu could not be downloaded"
    holds "what was there stays" has plain "$deps/libtorch/version"
    rm -r "$deps/libtorch"; touch "$BOX/pytorch"
    setup PIP_FIND_LINKS="$world/plain"; expect 0 "\(cpu\)"
    setup TORCH_WHEEL=gpu; expect 64 'TORCH_WHEEL=gpu is not a wheel'
}

# What an earlier script left: the plain wheel, called the CPU's.
test_earlier_script() {
    touch "$deps/libtorch/lib/libtorch_cuda.so"
    setup; expect 0 "\(cpu\)"
    rm "$deps/libtorch/lib/libtorch_cpu.so"
    setup; expect 0 "\(cpu\)"
}

test_cuda() {
    setup cuda; expect 0 "installed libtorch $torch_version \(cuda13\)"
    holds "NVIDIA's libraries lie where libtorch looks" ls "$deps"/nvidia/{cu13/lib/libcublas.so.13,nccl/lib/libnccl.so.2} "$deps/libtorch/lib/libtorch_cuda.so"
    holds "nothing else was asked for" lacks sympy "$BOX/log"
    setup; expect 0; holds "it stays" [ -z "$said" ]
    setup cuda; expect 0; holds "it stays" [ -z "$said" ]
    setup cpu; expect 0 "\(cpu\)"
    holds "NVIDIA's libraries are gone" absent "$deps/nvidia"
    setup rocm; expect 64 "'rocm' is not a variant"
}

test_no_network_for_wheels() {
    rm -r "$deps/libtorch"
    setup PIP_RETRIES=1 PIP_NO_INDEX= PIP_FIND_LINKS= PIP_INDEX_URL=http://127.0.0.1:9/simple; expect 69 "torch===$torch_version could not be downloaded: the Python index cannot be reached"
    setup PIP_FIND_LINKS="$world/none"; expect 69 'No matching distribution found for torch'
    echo "	libnew.so.1 => not found" >"$BOX/lacking"
    setup; expect 69 'needs libnew.so.1, which its wheels did not bring'
    holds "nothing half-written" absent "$deps/libtorch"
    : >"$BOX/lacking"
    mkdir "$world/damaged"; head -c 1000 "$(ls "$world"/cpu/torch-*)" >"$world/damaged/$(basename "$world"/cpu/torch-*)"
    setup PIP_FIND_LINKS="$world/damaged"; expect 69 'torch'
    setup; expect 0
}

test_own_libtorch() {
    rm -r "$deps/libtorch"
    setup LIBTORCH="$world/none"; expect 64 "LIBTORCH=$world/none holds no include/torch"
    mkdir -p "$BOX/own/include/torch/csrc/api/include/torch"; touch "$BOX/own/include/torch/csrc/api/include/torch/torch.h"
    setup LIBTORCH="$BOX/own"; expect 0
    holds "nothing is fetched" absent "$deps/libtorch"
}

make_world
for current in $(declare -F | sed -n 's/^declare -f \(test_.*\)/\1/p' | grep -e "${1:-.}"); do
    new_box
    "$current"
done
echo "set-up: $passed passed, $failed failed"
[ "$failed" = 0 ]
