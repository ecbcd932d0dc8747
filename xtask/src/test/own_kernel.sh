# own_kernel.sh LINK TARBALL VERSION FRAGMENT: builds the least kernel for x86-64 that a FRAGMENT of `tutti image kernel` asks for, from
# Debian's source package, and has LINK lead to the folder with its bzImage and its config.
#
# That folder is in ~/.cache/tutti (or $XDG_CACHE_HOME/tutti), under the package's version and a hash of this script and the fragment, so
# a kernel is built once for each. It is built in a folder of its own and appears in its place only when it is whole.
set -eu
link=$1 tarball=$2 version=$3 fragment=$4
hash=$(cat "$0" "$fragment" | sha256sum | cut -c 1-16)
folder=${XDG_CACHE_HOME:-$HOME/.cache}/tutti/own-kernel-$version-$hash
work=$folder/build.$$
log=$folder/build.log

if [ ! -e "$folder/bzImage" ]; then
    mkdir -p "$folder"
    rm -rf "$folder"/build.*
    mkdir "$work"
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' TERM INT HUP
    fail() { tail -n 40 "$log"; exit 1; }

    begun=$(date +%s)
    echo "unpacking $(basename "$tarball")"
    # Of drivers that nobody here asks for, what their folders' lists need is enough.
    tar -C "$work" -xf "$tarball" --strip-components=1 --wildcards \
        --exclude='*/Documentation/*/*' --exclude='*/tools/testing/*' --exclude='*/drivers/gpu/drm/*.[ch]' \
        --exclude='*/drivers/media/*.[ch]' --exclude='*/sound/*.[ch]'

    echo "configuring"
    make -C "$work" ARCH=x86 tinyconfig > "$log" 2>&1 || fail
    (cd "$work" && ARCH=x86 scripts/kconfig/merge_config.sh -n .config "$fragment") >> "$log" 2>&1 || fail
    # An option whose name or needs have changed would go missing in silence.
    grep '^CONFIG' "$fragment" | while read -r line; do
        grep -qx "$line" "$work/.config" || { echo "the kernel's configuration did not take $line" >&2; exit 1; }
    done

    echo "compiling"
    if ! nice make -C "$work" ARCH=x86 -j2 bzImage >> "$log" 2>&1; then
        grep -B 3 -e ' error: ' -e '\*\*\*' "$log" | tail -n 60
        exit 1
    fi
    cp "$work/.config" "$folder/config"
    cp "$work/arch/x86/boot/bzImage" "$folder/bzImage.new"
    mv "$folder/bzImage.new" "$folder/bzImage"
    rm -f "$log"
    echo "built $folder/bzImage in $(($(date +%s) - begun)) s"
fi
mkdir -p "$(dirname "$link")"
ln -sfn "$folder" "$link"
