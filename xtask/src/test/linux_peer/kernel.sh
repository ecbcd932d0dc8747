# kernel.sh FOLDER TARBALL CONFIG DRIVER: builds a user-mode Linux kernel as FOLDER/linux, from Debian's source package,
# with the DRIVER for remoteproc in it, and its modules as FOLDER/modules.
#
# It is built in a folder of its own and appears in its place only when it is whole, so a build that was cut short is
# started again the next time. Takes some 5 minutes of two processors.
set -eu
folder=$1 tarball=$2 config=$3 driver=$4
work=$folder/build.$$
log=$folder/build.log

mkdir -p "$folder"
rm -rf "$folder"/build.*
mkdir "$work"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' TERM INT HUP

echo "unpacking $(basename "$tarball")"
# The drivers' sources are two thirds of the tree, and none of these is built.
tar -C "$work" -xf "$tarball" --strip-components=1 --wildcards \
    --exclude='*/Documentation/*/*' --exclude='*/tools/testing/*' --exclude='*/drivers/gpu/drm/*.[ch]' \
    --exclude='*/drivers/net/*/*.[ch]' --exclude='*/drivers/media/*.[ch]' --exclude='*/sound/*.[ch]'

# A processor with AMX has 11,008 bytes of register state, and the kernel keeps room for 2,696; more than there is does
# no harm. (Later kernels ask the processor.)
offsets=$work/arch/x86/um/user-offsets.c
if grep -q 'HOST_FP_SIZE, 2696' "$offsets"; then
    sed -i 's/HOST_FP_SIZE, 2696/HOST_FP_SIZE, 11008/' "$offsets"
fi

cp "$driver" "$work/drivers/remoteproc/tutti_remote.c"
echo 'obj-$(CONFIG_REMOTEPROC) += tutti_remote.o' >> "$work/drivers/remoteproc/Makefile"

echo "configuring"
make -C "$work" ARCH=um tinyconfig > "$log" 2>&1 || { tail -n 20 "$log"; exit 1; }
cat "$config" >> "$work/.config"
make -C "$work" ARCH=um olddefconfig >> "$log" 2>&1 || { tail -n 20 "$log"; exit 1; }
# An option whose name or needs have changed would go missing in silence.
grep '^CONFIG' "$config" | while read -r line; do
    grep -qx "$line" "$work/.config" || { echo "the kernel's configuration did not take $line" >&2; exit 1; }
done

echo "compiling"
if ! nice make -C "$work" ARCH=um -j2 linux modules >> "$log" 2>&1; then
    grep -B 3 -e ' error: ' -e '\*\*\*' "$log" | tail -n 60
    exit 1
fi
rm -rf "$folder/modules"
mkdir "$folder/modules"
find "$work" -name '*.ko' -exec strip --strip-debug {} ';' -exec cp -t "$folder/modules" {} +
strip -o "$folder/linux.new" "$work/linux"
mv "$folder/linux.new" "$folder/linux"
rm -f "$log"
echo "built $folder/linux"
