#!/usr/bin/env bash
# Installs what the build needs and is missing: system packages with apt, Swift into .deps/swift, libtorch and Apache Arrow
# out of their Python wheels into .deps. Does nothing the second time; a run that was stopped is repaired by the next one.
#
# usage: setup.sh [cpu|cuda]      cuda: the CUDA build of libtorch; without a word the installed one stays, else the CPU's comes.
#   LIBTORCH=FOLDER               a libtorch (2.11 or newer) that is already there
#   TORCH_WHEEL=cpu|plain         take only PyTorch's own CPU wheel, or only the plain one; unset: the first that can be had
#   SWIFT=COMMAND                 a Swift (6.3 or newer) that is already there
#   SWIFT_DOWNLOADS=URL           a mirror of https://download.swift.org
#   SWIFT_SHA256=DIGEST           what the mirror's archive must hash to, instead of being signed
#   SWIFT_KEY=FINGERPRINT         the key that signs the mirror's archives, instead of Swift's release key
#   SETUP_SYSTEM=FOLDER           for Tools/setup/test.sh: looks for /usr and /etc in there
# shellcheck disable=SC1091,SC2034    # the parts are checked themselves, and share variables
set -euo pipefail
cd "$(dirname "$0")/../.."
variant=${1:-}
system=${SETUP_SYSTEM:-}
downloaded=0        # bytes, of all steps together
step="looking around"
work=               # the temporary folder of the running step, in .deps so that a rename completes the step
fetches_swift=      # set once there is known to be no Swift
explained=          # set once the sentence about a failure has been said

say() { echo "setup: $*"; }

# Says in one sentence what cannot be done, and ends: fail SENTENCE [STATUS].
fail() {
    echo "setup: $1" >&2
    explained=yes
    exit "${2:-69}"
}

finish() {
    local status=$?
    [ -z "$work" ] || rm -rf "$work"
    [ "$status" = 0 ] || [ -n "$explained" ] ||
        echo "setup: stopped while $step (status $status); nothing half-written was installed. Run 'make setup' again to go on." >&2
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# An empty temporary folder for the next step: new_work.
new_work() {
    [ -z "$work" ] || rm -rf "$work"
    work=$(mktemp -d .deps/setup.XXXXXX)
}

# Refuses to begin what the disk cannot hold: needs_room MEGABYTES WHAT.
needs_room() {
    local free
    free=$(df -Pm .deps | awk 'NR == 2 { print $4 }')
    [ "$free" -ge "$1" ] ||
        fail "$2 needs $1 MB while it is unpacked, and the disk of $PWD/.deps has $free MB left; free some space and run 'make setup' again."
}

# Adds files to what was downloaded, and sets $counted to their size: count FILE...
count() { count_bytes "$(stat -c %s "$@" | awk '{ sum += $1 } END { printf "%d", sum }')"; }

count_bytes() {
    downloaded=$((downloaded + $1))
    counted="$((($1 + 500000) / 1000000)) MB"
}

check_machine() {
    local kernel machine glibc
    kernel=$(uname -s) machine=$(uname -m)
    [ "$kernel" = Linux ] || fail "this project builds on Linux; this is $kernel."
    case $machine in
        x86_64 | aarch64) ;;
        *) fail "libtorch and Swift are published for x86_64 and aarch64, and this processor is $machine." ;;
    esac
    glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null) || fail "libtorch needs glibc 2.28 or newer, and this system has another C library."
    glibc=${glibc#glibc }
    at_least 2.28 "$glibc" || fail "libtorch needs glibc 2.28 or newer, and this system has glibc $glibc; a newer release of it is needed."
}

# Whether version $2 is $1 or newer.
at_least() { [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

source Tools/setup/packages.sh
source Tools/setup/swift.sh
source Tools/setup/wheels.sh

case $variant in '' | cpu | cuda) ;; *) fail "'$variant' is not a variant of libtorch; say cpu or cuda." 64 ;; esac
case ${TORCH_WHEEL:-} in '' | cpu | plain) ;; *) fail "TORCH_WHEEL=$TORCH_WHEEL is not a wheel; say cpu or plain, or unset it." 64 ;; esac
[ -z "${LIBTORCH:-}" ] || [ -e "$LIBTORCH/include/torch/csrc/api/include/torch/torch.h" ] ||
    fail "LIBTORCH=$LIBTORCH holds no include/torch; point it at a libtorch folder or unset it." 64

check_machine
mkdir -p .deps 2>/dev/null || true
[[ -d .deps && -w .deps ]] || fail "$PWD/.deps cannot be written; run 'make setup' as the owner of this folder."
exec 9>.deps/lock
flock -n 9 || { say "waiting for another 'make setup' in this folder"; flock 9; }
rm -rf .deps/setup.*

install_packages
install_swift
install_arrow
[ -n "${LIBTORCH:-}" ] || install_libtorch
if [ "$downloaded" != 0 ]; then
    say "done; $(((downloaded + 500000) / 1000000)) MB were downloaded in all"
fi
