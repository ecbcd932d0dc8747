#!/bin/sh
# Fetches into the folder $1 what device trees are compared with; what is there already stays. The other arguments say
# what of it:
#   blobs     every device-tree blob of Debian's arm64 kernel, as $1/blobs
#   kernel    the kernel's device-tree sources for Arm with their headers, of Linux 6.1, as $1/kernel
#   bindings  the kernel's schemas of device-tree nodes, of Linux 6.12 (6.1 has none for the R5), as $1/bindings
#   peers     lopper and dtschema from PyPI, as $1/peers
# The packages come from this machine's own apt sources, through lists of its own: the system stays as it is.
set -eu

. "${0%/*}/apt_arm64.sh"

# The package that another, empty one stands for.
newest() { apt_arm64 apt-cache depends "$1" | sed -n "s/^ *Depends: \($2\)\$/\1/p" | head -n 1; }

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
