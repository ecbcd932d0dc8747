#!/bin/sh
# Builds the apps of this folder: core modules by rustc for WebAssembly, then components that can be carried.
#   apps/build.sh          into apps/built, which is committed
#   apps/build.sh --check  into a folder of its own, and compares: whoever builds them gets the same bytes
# Takes Debian's compiler, which carries the target and the library's source (rustc-web cargo-web rust-web-src lld-14).
# The bytes are those of that compiler, which built/COMPILER names; after an update of it there are others, and the check
# says so instead of comparing.
set -eu
cd "$(dirname "$0")/.."
for tool in /usr/bin/rustc /usr/bin/cargo /usr/bin/wasm-ld-14 /usr/lib/rustlib/src/rust/library; do
    [ -e "$tool" ] || { echo "$tool is missing: apt-get install rustc-web cargo-web rust-web-src lld-14" >&2; exit 1; }
done
target=${CARGO_TARGET_DIR:-$PWD/target}
compiler="$(/usr/bin/rustc --version), $(/usr/bin/wasm-ld-14 --version)"
built=apps/built
[ "${1:-}" = --check ] && built=$target/apps/built
mkdir -p "$built"
# No places in the source: they would be those of the machine that builds.
(cd apps && PATH=/usr/bin:$PATH RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zlocation-detail=none" \
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=/usr/bin/wasm-ld-14 \
    /usr/bin/cargo build --locked --release -Zbuild-std=std,panic_abort --target wasm32-unknown-unknown --target-dir "$target/apps")
set --
for app in apps/*/Cargo.toml; do
    app=$(basename "$(dirname "$app")")
    set -- "$@" "$target/apps/wasm32-unknown-unknown/release/$app.wasm"
done
cargo run -q -p tutti-app --no-default-features --features build --example build_app -- "$@" "$built"
if [ "$built" = apps/built ]; then
    echo "$compiler" > apps/built/COMPILER
elif [ "$compiler" != "$(cat apps/built/COMPILER)" ]; then
    for app in "$built"/*.wasm; do
        echo "built: $(basename "$app"), by another compiler ($compiler) than the one that is committed"
    done
else
    for app in apps/built/*.wasm; do
        cmp "$app" "$built/$(basename "$app")" || { echo "run apps/build.sh and commit what it writes" >&2; exit 1; }
        echo "same: $(basename "$app")"
    done
fi
