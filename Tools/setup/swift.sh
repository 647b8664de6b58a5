# shellcheck shell=bash disable=SC2034,SC2154    # variables are shared with setup.sh
# Swift: part of setup.sh. Archives and their signatures are at
# SWIFT_DOWNLOADS/swift-VERSION-release/SYSTEM/swift-VERSION-RELEASE/swift-VERSION-RELEASE-SYSTEM.tar.gz[.sig].

swift_version=6.3.1     # the one that is installed
swift_least=6.3         # the oldest that builds the project
swift_key=52BB7E3DE28A71BE22EC05FFEF80A866B47A981F      # "Swift 6.x Release Signing Key"
swift_keys=https://www.swift.org/keys/all-keys.asc

# The Swift that make takes: what the user names, what an earlier run installed, what is on PATH.
swift_command() {
    if [ -n "${SWIFT:-}" ]; then echo "$SWIFT"
    elif [ -x .deps/swift/usr/bin/swift ]; then echo .deps/swift/usr/bin/swift
    else echo swift; fi
}

# Whether there is a Swift, whatever its version: it may need packages before it can tell.
has_swift() { command -v "$(swift_command)" >/dev/null; }

# The version of a Swift, or nothing where it does not start: swift_says COMMAND.
swift_says() { "$1" --version 2>/dev/null | sed -n 's/.*Swift version \([0-9][0-9.]*\).*/\1/p' | head -n 1; }

install_swift() {
    step="looking for Swift"
    local command found='' suffix='' name url
    command=$(swift_command)
    found=$(swift_says "$command") || true
    if [ -n "$found" ] && at_least "$swift_least" "$found"; then return 0; fi
    [ -z "${SWIFT:-}" ] || fail "SWIFT=$SWIFT is not a Swift $swift_least or newer (${found:-it does not start}); name another or unset it." 64
    [ -n "$platform" ] ||
        fail "$command is ${found:-not a Swift that starts}, $swift_least is needed, and this script knows no archive of it for $system_name; install it (https://www.swift.org/install/linux/) and run 'make setup' again."
    [ "$(uname -m)" = x86_64 ] || suffix=-aarch64
    name=swift-$swift_version-RELEASE-$platform$suffix
    url=${SWIFT_DOWNLOADS:-https://download.swift.org}
    url=${url%/}/swift-$swift_version-release/${platform//./}$suffix/swift-$swift_version-RELEASE/$name.tar.gz
    if has_swift; then
        say "$command is ${found:-not a Swift that starts}, and $swift_least is needed"
        fetches_swift=yes
        install_packages
    fi
    needs_room 6000 "Swift"
    step="fetching Swift"
    say "fetching Swift $swift_version from $url into .deps/swift"
    new_work
    download "$url" ".deps/$name.tar.gz"
    check_archive "$url" ".deps/$name.tar.gz"
    count ".deps/$name.tar.gz"
    step="unpacking Swift"
    mkdir "$work/swift"
    tar -xzf ".deps/$name.tar.gz" --no-same-owner --strip-components=1 -C "$work/swift" 2>"$work/log" ||
        fail "$name.tar.gz could not be unpacked: $(tail -n 1 "$work/log") (Is the disk full?) Run 'make setup' again."
    step="trying Swift"
    echo 'import Foundation; print(Date())' >"$work/try.swift"
    { "$work/swift/usr/bin/swiftc" "$work/try.swift" -o "$work/try" && "$work/try"; } >"$work/log" 2>&1 ||
        fail "the Swift of $url does not work here: $(grep -m 1 error "$work/log" || tail -n 1 "$work/log")"
    rm -rf .deps/swift
    mv "$work/swift" .deps/swift
    rm -f ".deps/$name.tar.gz"
    say "installed Swift $swift_version; $counted were downloaded"
}

# A file, whole or not at all; what an earlier run had of it is gone on with: download URL FILE.
download() {
    local status=0 resumed=
    [ ! -e "$2" ] || return 0
    [ ! -s "$2.part" ] || resumed=yes
    get "$1" "$2.part" -C - || status=$?
    case $status,$resumed in
        22,yes | 33,yes | 36,yes)   # the server cannot go on there
            rm -f "$2.part"
            status=0
            get "$1" "$2.part" || status=$?
            ;;
    esac
    case $status in
        0) mv "$2.part" "$2" ;;
        22) fail "$1 is not there ($reason); name a mirror that has it with SWIFT_DOWNLOADS=, or install Swift $swift_least yourself." ;;
        23) fail "$1 could not be written ($reason); is the disk full? Free some space and run 'make setup' again." ;;
        18 | 52 | 56 | 92) fail "the download of $1 was interrupted ($reason); run 'make setup' again to go on with it." ;;
        *) fail "$1 cannot be reached ($reason); check the network, or name a mirror with SWIFT_DOWNLOADS=, and run 'make setup' again." ;;
    esac
}

# Downloads, and sets $reason to why not: get URL FILE [OPTION...].
get() {
    local progress=-s
    [ ! -t 2 ] || progress=-#
    reason=$(curl -fL $progress --retry 2 --connect-timeout 30 -w '%{errormsg}' -o "$2" "${@:3}" "$1")
}

# Compares an archive with SWIFT_SHA256, else with its signature by Swift's release key: check_archive URL FILE.
check_archive() {
    local archive=$2 key=${SWIFT_KEY:-$swift_key} found
    step="checking Swift's archive"
    if [ -n "${SWIFT_SHA256:-}" ]; then
        found=$(sha256sum "$archive"); found=${found%% *}
        [ "$found" = "${SWIFT_SHA256,,}" ] && return 0
        rm -f "$archive"
        fail "$1 has the SHA-256 $found and not SWIFT_SHA256=$SWIFT_SHA256; it is deleted. Run 'make setup' again to fetch it anew."
    fi
    get "$1.sig" "$work/sig" -s || fail "the signature $1.sig could not be fetched ($reason); a mirror without signatures needs SWIFT_SHA256=."
    { [ -n "${SWIFT_DOWNLOADS:-}" ] && get "${SWIFT_DOWNLOADS%/}/keys/all-keys.asc" "$work/keys" -s; } || get "$swift_keys" "$work/keys" -s ||
        fail "the keys $swift_keys could not be fetched ($reason); check the network, or give the archive's SHA-256 with SWIFT_SHA256=."
    mkdir -m 700 "$work/gnupg"
    GNUPGHOME=$work/gnupg gpg --batch --quiet --import "$work/keys" 2>/dev/null || true
    # A signature from before the key's expiry is good for ever; one by a revoked key is not.
    GNUPGHOME=$work/gnupg gpg --batch --status-fd 1 --verify "$work/sig" "$archive" >"$work/status" 2>/dev/null || true
    if grep -q "^\[GNUPG:\] VALIDSIG .*$key\$" "$work/status" && ! grep -q '^\[GNUPG:\] REVKEYSIG' "$work/status"; then return 0; fi
    if grep -q '^\[GNUPG:\] NO_PUBKEY' "$work/status"; then
        fail "$1 is signed with a key that is not in $swift_keys; give the key of your mirror's archives with SWIFT_KEY=, or SWIFT_SHA256=."
    fi
    rm -f "$archive"
    fail "the signature of $1 does not fit it, or is not by the key $key; the archive is deleted. Run 'make setup' again to fetch it anew."
}
