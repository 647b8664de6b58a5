# shellcheck shell=bash disable=SC1091,SC2034,SC2154    # variables are shared with setup.sh
# The system packages: part of setup.sh.

# What is looked for, and the package of Debian and Ubuntu that brings it: a command, a file, a shared library or a Python module.
needed_packages() {
    cat <<END
git                                  git
pkg-config                           pkg-config
ld                                   binutils
/usr/include/stdio.h                 libc6-dev
/usr/include/c++/*/vector            $standard_library
/usr/include/simdjson.h              libsimdjson-dev
/usr/include/oniguruma.h             libonig-dev
/usr/include/cairo/cairo.h           libcairo2-dev
/usr/include/zlib.h                  zlib1g-dev
/usr/include/zstd.h                  libzstd-dev
/usr/share/zoneinfo/UTC              tzdata
/etc/ssl/certs/ca-certificates.crt   ca-certificates
libcurl.so.4                         libcurl4
libncurses.so.6                      libncurses6
libsqlite3.so.0                      libsqlite3-0
libuuid.so.1                         libuuid1
libxml2.so.2                         libxml2
python3                              python3
END
    if wheels_missing; then printf '%s\n' 'unzip unzip' 'module:pip python3-pip'; fi
    if [ -n "$fetches_swift" ]; then printf '%s\n' 'curl curl' 'gpg gpg' 'libedit.so.2 libedit2' "libpython$python.so.1.0 libpython$python"; fi
}

# Tells which of Swift's archives fits this system, and how its packages are called there.
name_system() {
    local codename
    codename=$(. "$system/etc/os-release" 2>/dev/null && echo "${UBUNTU_CODENAME:-${DEBIAN_CODENAME:-${VERSION_CODENAME:-}}}") || true
    system_name=$(. "$system/etc/os-release" 2>/dev/null && echo "${PRETTY_NAME:-$ID}") || system_name="this system"
    case $codename in
        bookworm) platform=debian12 standard_library=libstdc++-12-dev python=3.11 ;;
        jammy) platform=ubuntu22.04 standard_library=libstdc++-11-dev python=3.10 ;;
        noble) platform=ubuntu24.04 standard_library=libstdc++-13-dev python=3.12 ;;
        *) platform='' standard_library=g++ python=3 ;;
    esac
    [ -n "$platform" ] || [ -z "$fetches_swift" ] ||
        fail "Swift $swift_least is missing, and this script knows no archive of it for $system_name; install it (https://www.swift.org/install/linux/), put it on PATH or name it with SWIFT=, and run 'make setup' again."
}

# Whether the thing of a row is there.
present() {
    case $1 in
        /*) compgen -G "$system$1" >/dev/null ;;
        *.so.*) PATH=$PATH:/sbin:/usr/sbin ldconfig -p | grep -F -e "$1 " >/dev/null ;;
        module:*) python3 -c "import sys; from importlib.util import find_spec; sys.exit(find_spec('${1#module:}') is None)" 2>/dev/null ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

# Fills $missing with the packages whose things are not there.
find_missing() {
    local thing package
    missing=()
    while read -r thing package; do
        present "$thing" || missing+=("$package")
    done < <(needed_packages)
}

install_packages() {
    step="looking for system packages"
    has_swift || fetches_swift=yes
    name_system
    find_missing
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null ||
        fail "$system_name has no apt-get, and these are missing (by Debian's names): ${missing[*]}; install them and run 'make setup' again."
    local as_root=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || fail "installing packages needs root, which you are not; run 'apt-get install ${missing[*]}' as root, then 'make setup' again."
        as_root=(sudo)
        sudo -v || fail "installing packages needs root, and sudo does not let you; have 'apt-get install ${missing[*]}' run as root, then run 'make setup' again."
    fi
    step="installing packages with apt-get"
    say "installing ${missing[*]} with apt-get"
    new_work
    local quietly=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive) log=$work/apt.log
    local apt=("${quietly[@]}" apt-get -y -o DPkg::Lock::Timeout=120)
    "${quietly[@]}" dpkg --configure -a >"$log" 2>&1 || true    # where an earlier installation was stopped
    "${apt[@]}" update >>"$log" 2>&1 || true                     # what it lacks is told by the installation
    "${apt[@]}" install --no-install-recommends "${missing[@]}" >>"$log" 2>&1 || apt_failed "$log"
    count_apt "$log"
    local asked="${missing[*]}"
    find_missing
    [ ${#missing[@]} -eq 0 ] || fail "apt-get installed $asked, and still ${missing[*]} cannot be found; is the package complete on $system_name?"
}

apt_failed() {
    local reason unreached
    reason=$(grep -i -m 1 'no space left' "$1" || grep -m 1 '^E: ' "$1" || tail -n 1 "$1")
    unreached=$(sed -n 's/^W: \(Failed to fetch .*\)/ (\1)/p' "$1" | tail -n 1)
    [[ $reason != "E: Failed to fetch"* ]] || unreached=
    fail "apt-get could not install ${missing[*]}: ${reason#E: }$unreached. Mend that, or install them yourself, and run 'make setup' again."
}

# Adds what apt-get says that it had to get.
count_apt() {
    local bytes
    bytes=$(sed -n 's|^Need to get \([0-9.,]* [kMG]*B\).*|\1|p' "$1" | tr -d , |
        awk '{ unit = $2 == "GB" ? 1e9 : $2 == "MB" ? 1e6 : $2 == "kB" ? 1e3 : 1; sum += $1 * unit } END { printf "%d", sum }')
    count_bytes "$bytes"
    say "installed them; $counted were downloaded"
}
