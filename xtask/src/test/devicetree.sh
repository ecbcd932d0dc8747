#!/bin/sh
# Fetches into the folder $1 what device trees are compared with; what is there already stays. The other arguments say
# what of it:
#   blobs     every device-tree blob of Debian's arm64 kernel, as $1/blobs
#   kernel    the kernel's device-tree sources for Arm with their headers, of Linux 6.1, as $1/kernel
#   bindings  the kernel's schemas of device-tree nodes, of Linux 6.12 (6.1 has none for the R5), as $1/bindings
#   peers     lopper and dtschema from PyPI, as $1/peers
# The packages come from this machine's own apt sources, through lists of its own: the system stays as it is.
set -eu

dir=$1
shift
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

# What is whole is marked so; what is not is made again from nothing.
is_done() { [ -e "$dir/$1.done" ]; }
start() {
    rm -rf "${dir:?}/$1" "$dir/deb"
    mkdir "$dir/$1" "$dir/deb"
}
finish() {
    rm -rf "$dir/deb"
    touch "$dir/$1.done"
}

# apt for 64-bit Arm, with its state under $dir.
apt_arm64() {
    tool=$1
    shift
    "$tool" -q -o "APT::Architecture=arm64" -o "APT::Architectures=arm64" -o "APT::Sandbox::User=root" \
        -o "Dir::State=$dir/apt/state" -o "Dir::State::status=$dir/apt/status" -o "Dir::Cache=$dir/apt/cache" \
        -o "Acquire::Languages=none" -o "Acquire::Retries=3" -o "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false" \
        "$@"
}

knows() { apt_arm64 apt-cache show "$1" >/dev/null 2>&1; }

lists() {
    mkdir -p "$dir/apt/state/lists/partial" "$dir/apt/cache/archives/partial"
    : >"$dir/apt/status"
    knows "$1" && return
    # A source that has nothing for this architecture is no fault of ours.
    apt_arm64 apt-get update || true
    knows "$1" || { echo "no apt source of this machine has the package $1" >&2; exit 1; }
}

# The package that another, empty one stands for.
newest() { apt_arm64 apt-cache depends "$1" | sed -n "s/^ *Depends: \($2\)\$/\1/p" | head -n 1; }

download() { (cd "$dir/deb" && apt_arm64 apt-get download "$1"); }

# What is in the package that was downloaded, as a tar file.
content() { dpkg-deb --fsys-tarfile "$dir"/deb/*.deb; }

# Some of a kernel's source: of version $2 if there is a package, else of the newest; the other arguments are paths in it.
source_of() {
    into=$1
    source=linux-source-$2
    shift 2
    lists linux-source
    knows "$source" || source=$(newest linux-source 'linux-source-[0-9].*')
    start "$into"
    download "$source"
    for path in "$@"; do
        shift
        set -- "$@" "$source/$path"
    done
    content | tar -xO "./usr/src/$source.tar.xz" | xz -dc | tar -x -C "$dir/$into" --strip-components=1 "$@"
    finish "$into"
}

blobs() {
    lists linux-image-arm64
    start blobs
    download "$(newest linux-image-arm64 'linux-image-[0-9].*')"
    content | tar -x -C "$dir/blobs" --wildcards './usr/lib/linux-image-*.dtb*'
    finish blobs
}

kernel() {
    source_of kernel 6.1 arch/arm64/boot/dts arch/arm/boot/dts include/dt-bindings \
        include/uapi/linux/input-event-codes.h scripts/dtc/include-prefixes
}

bindings() { source_of bindings 6.12 Documentation/devicetree/bindings; }

# lopper uses three packages that it does not name.
peers() {
    start peers
    python3 -m venv "$dir/peers"
    "$dir/peers/bin/pip" install -q --disable-pip-version-check 'lopper==1.6.*' pyyaml packaging anytree dtschema
    finish peers
}

for what in "$@"; do
    case $what in
    blobs | kernel | bindings | peers) is_done "$what" || "$what" ;;
    *)
        echo "what is $what?" >&2
        exit 2
        ;;
    esac
done
