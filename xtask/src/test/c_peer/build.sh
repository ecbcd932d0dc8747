# build.sh DIR OUT: compiles our peers in C against the source trees that are in DIR: `rpmsg-lite`, or `open-amp` with
# `libmetal` beside it. Each becomes a program in OUT; at least one must.
set -eu
dir=$1 out=$2
here=$(dirname "$0")
rm -rf "$out"
mkdir -p "$out"

if [ -d "$dir/rpmsg-lite/lib" ]; then
    lib=$dir/rpmsg-lite/lib
    gcc -O1 -w -DRL_USE_CUSTOM_CONFIG=1 -I"$here/rpmsg_lite" -I"$here" -I"$lib/include" -o "$out/rpmsg-lite" \
        "$here/rpmsg_lite.c" "$lib/rpmsg_lite/rpmsg_lite.c" "$lib/rpmsg_lite/rpmsg_ns.c" "$lib/virtio/virtqueue.c" \
        "$lib/common/llist.c"
    echo "compiled against $lib"
fi

if [ -d "$dir/open-amp/lib" ] && [ -d "$dir/libmetal/lib" ]; then
    lib=$dir/open-amp/lib metal=$dir/libmetal/lib
    # Their build fills these names in.
    (cd "$metal" && find . -name '*.h') | while read -r header; do
        mkdir -p "$out/include/metal/$(dirname "$header")"
        sed -e 's/@PROJECT_SYSTEM@/linux/g; s/@PROJECT_SYSTEM_UPPER@/LINUX/g' \
            -e 's/@PROJECT_PROCESSOR@/x86_64/g; s/@PROJECT_PROCESSOR_UPPER@/X86_64/g' \
            -e 's/@PROJECT_MACHINE@/peer/g; s/@PROJECT_MACHINE_UPPER@/PEER/g; s/@PROJECT_VERSION[A-Z_]*@/1/g' \
            -e 's/^#cmakedefine \(HAVE_STDATOMIC_H\|HAVE_FUTEX_H\|HAVE_PROCESSOR_CPU_H\)$/#define \1/; /^#cmakedefine/d' \
            "$metal/$header" > "$out/include/metal/$header"
    done
    mkdir -p "$out/include/openamp"
    for header in "$lib"/include/openamp/*.h; do
        sed -e 's/@PROJECT_VERSION[A-Z_]*@/1/g' "$header" > "$out/include/openamp/$(basename "$header")"
    done
    gcc -O1 -w -D_GNU_SOURCE -DVQ_RX_EMPTY_NOTIFY=0 -DVIRTIO_DRIVER_SUPPORT=1 \
        -DVIRTIO_DEVICE_SUPPORT=1 -DRPMSG_BUFFER_SIZE=512 -DMETAL_INTERNAL -I"$here" -I"$out/include" -I"$lib/include" -o "$out/open-amp" \
        "$here/open_amp.c" "$lib/rpmsg/rpmsg.c" "$lib/rpmsg/rpmsg_virtio.c" "$lib/virtio/virtqueue.c" \
        "$lib/virtio/virtio.c" "$lib/utils/utilities.c" "$metal/io.c" "$metal/log.c" -pthread
    echo "compiled against $lib and $metal"
fi

if [ ! -e "$out/rpmsg-lite" ] && [ ! -e "$out/open-amp" ]; then
    echo "$dir has neither rpmsg-lite/lib nor open-amp/lib with libmetal/lib" >&2
    exit 1
fi
