# shellcheck shell=bash disable=SC1091,SC2016,SC2034,SC2154    # part of Tools/setup/test.sh
# A box is a machine in a folder: a copy of the script, a system to look at, and a bin folder that is all of PATH.

tools=(awk basename bash cat chmod cp curl cut date dirname env flock gpg grep gzip head ln ls mkdir mktemp mv rm sed sha256sum
    sleep sort stat tail tar tee touch tr unzip wc)

# Makes what all boxes share: wheels, archives of a Swift that only tells its version, a signing key, the server.
make_world() {
    # shellcheck source=/dev/null
    source "$project/Tools/setup/swift.sh"
    source "$project/Tools/setup/wheels.sh"
    local python
    python=$(python3 -c 'import sys; print(sys.executable)')
    "$python" "$project/Tools/setup/test/wheels.py" "$world/wheels" "$torch_version" "$arrow_version"
    mkdir "$world/plain" "$world/cpu"
    cp "$world"/wheels/*.whl "$world/plain"
    mv "$world"/plain/torch-*+cpu-*.whl "$world/cpu"
    cat >"$world/python3" <<END
#!$(command -v bash)
echo "python3 \$*" >>"\$BOX/log"
[ ! -e "\$BOX/pytorch" ] || [[ "\$*" != *--index-url* ]] || export PIP_FIND_LINKS=$world/cpu
exec $python "\$@"
END
    make_archives
    "$python" "$project/Tools/setup/test/server.py" "$world/mirror" "$world/port" "$world/requests" &
    server=$!
    while [ ! -e "$world/port" ]; do sleep 0.05; done
    mirror=http://127.0.0.1:$(cat "$world/port")
}

make_archives() {
    local name=swift-$swift_version-RELEASE-debian12 folder=$world/mirror/swift-$swift_version-release/debian12/swift-$swift_version-RELEASE
    archive=$folder/$name.tar.gz
    mkdir -p "$folder" "$world/$name/usr/bin" "$world/mirror/keys"
    mkdir -m 700 "$world/gnupg"
    fake_swift "$swift_version" >"$world/$name/usr/bin/swift"
    printf '#!/bin/bash\nprintf "#!/bin/bash\\n" >"$3"; chmod +x "$3"\n' >"$world/$name/usr/bin/swiftc"
    chmod +x "$world/$name"/usr/bin/*
    head -c 300000 /dev/urandom >"$world/$name/usr/large"
    tar -czf "$archive" -C "$world" "$name"
    sign "$archive" old --faked-system-time 20200101T000000
    mv "$archive.sig" "$world/old.sig"
    old_key=$key
    sign "$archive" new
    GNUPGHOME=$world/gnupg gpg --batch --quiet --armor --export >"$world/mirror/keys/all-keys.asc" 2>/dev/null
}

# Signs with a new key that lasts a day: sign FILE NAME [OPTION...]. Sets $key.
sign() {
    local gpg=(gpg --homedir "$world/gnupg" --batch --quiet --no-tty --pinentry-mode loopback --passphrase '' "${@:3}")
    "${gpg[@]}" --quick-gen-key "$2@example.org" ed25519 sign 1d 2>/dev/null
    key=$("${gpg[@]}" --list-keys --with-colons "$2@example.org" 2>/dev/null | awk -F: '/^fpr/ { print $10; exit }')
    rm -f "$1.sig"
    "${gpg[@]}" --local-user "$key" --detach-sign -o "$1.sig" "$1" 2>/dev/null
}

fake_swift() { printf '#!/bin/bash\necho "Swift version %s (swift-%s-RELEASE)"\n' "$1" "$1"; }

stub() { cat >"$BOX/bin/$1" && chmod +x "$BOX/bin/$1"; }

# A machine that has everything: Debian 12 on x86_64, root, libtorch and Arrow already in .deps.
new_box() {
    export BOX=$world/box
    rm -rf "$BOX"
    mkdir -p "$BOX"/{bin,home,system/etc,project/Tools,project/.deps}
    cp -r "$project/Tools/setup" "$BOX/project/Tools/"
    cp "$project/Makefile" "$BOX/project/"
    local tool
    for tool in "${tools[@]}"; do ln -s "$(command -v "$tool")" "$BOX/bin/$tool"; done
    cp "$world/python3" "$BOX/bin/"; chmod +x "$BOX/bin/python3"
    : >"$BOX/log"
    echo 'PRETTY_NAME="Debian 12" VERSION_CODENAME=bookworm' >"$BOX/system/etc/os-release"
    echo 100000 >"$BOX/free"
    : >"$BOX/lacking"; echo 0 >"$BOX/user"; echo Linux >"$BOX/kernel"; echo x86_64 >"$BOX/machine"; echo "glibc 2.36" >"$BOX/glibc"
    stub uname <<<'#!/bin/bash
[ "$1" = -s ] && cat "$BOX/kernel" || cat "$BOX/machine"'
    stub getconf <<<'#!/bin/bash
cat "$BOX/glibc" 2>/dev/null'
    stub id <<<'#!/bin/bash
cat "$BOX/user"'
    stub df <<<'#!/bin/bash
printf "Filesystem\n/dev/x 1 1 %s 1%% /\n" "$(cat "$BOX/free")"'
    stub ldconfig <<<'#!/bin/bash
sed "s/$/ (libc6) => somewhere/" "$BOX/libraries"'
    stub ldd <<<'#!/bin/bash
cat "$BOX/lacking"'
    stub dpkg <<<'#!/bin/bash
echo "dpkg $*" >>"$BOX/log"'
    stub apt-get <"$project/Tools/setup/test/apt-get"
    fake_swift "$swift_version" | stub swift
    fetches_swift=yes standard_library=libstdc++-12-dev python=3.11
    (wheels_missing() { true; }; source "$project/Tools/setup/packages.sh"; needed_packages) >"$BOX/table"
    local thing package
    while read -r thing package; do bring "$thing"; done <"$BOX/table"
    mkdir -p "$BOX"/project/.deps/{arrow,libtorch}/lib
    touch "$BOX"/project/.deps/{arrow/lib/libarrow.so,libtorch/lib/libtorch_cpu.so}
    echo "$arrow_version" >"$BOX/project/.deps/arrow/version"
    echo "$torch_version cpu" >"$BOX/project/.deps/libtorch/version"
}

# Puts a thing of the table into the box, or takes it away.
bring() {
    case $1 in
        /*) local path=$BOX/system${1//\*/12}; mkdir -p "${path%/*}"; touch "$path" ;;
        *.so.*) echo "$1" >>"$BOX/libraries" ;;
        module:*) ;;
        *) [ -e "$BOX/bin/$1" ] || stub "$1" <<<'#!/bin/bash' ;;
    esac
}

lack() {
    local thing
    for thing; do
        case $thing in
            /*) rm -rf "$BOX/system${thing//\*/12}" ;;
            *.so.*) sed -i "/^$thing\$/d" "$BOX/libraries" ;;
            *) rm -f "$BOX/bin/$thing" ;;
        esac
    done
}

# Runs the script in the box: setup [NAME=VALUE...] [cpu|cuda]. Sets $status, and $said to all of its output.
setup() {
    local settings=() arguments=() word
    for word; do case $word in *=*) settings+=("$word") ;; *) arguments+=("$word") ;; esac; done
    status=0
    said=$(in_box "${settings[@]}" bash Tools/setup/setup.sh "${arguments[@]}" 2>&1) || status=$?
}

# A command in the box, without a network: in_box [NAME=VALUE...] COMMAND...
in_box() { (run_in_box "$@"); }

# The same in place of this process.
run_in_box() {
    cd "$BOX/project" && exec env -i PATH="$BOX/bin" HOME="$BOX/home" BOX="$BOX" SETUP_SYSTEM="$BOX/system" LC_ALL=C.UTF-8 \
        https_proxy=http://127.0.0.1:9 no_proxy=127.0.0.1 PIP_CONFIG_FILE=/dev/null PIP_NO_INDEX=1 PIP_FIND_LINKS="$world/wheels" \
        PIP_RETRIES=0 "$@"
}
