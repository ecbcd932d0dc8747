#!/bin/sh
# Fetches Rust's standard library for 64-bit Arm as $1/sysroot: Debian's, of the version of Debian's compiler here.
set -eu

. "${0%/*}/apt_arm64.sh"

version=$(dpkg-query -W -f '${Version}' rustc-web)
is_done sysroot && [ "$(cat "$dir/sysroot.done")" = "$version" ] && exit
lists "libstd-rust-web-dev=$version"
rm -f "$dir/sysroot.done"
start sysroot
download "libstd-rust-web-dev=$version"
content | tar -x -C "$dir/sysroot" --strip-components=2 ./usr/lib/rustlib/aarch64-unknown-linux-gnu
finish sysroot
echo "$version" >"$dir/sysroot.done"
