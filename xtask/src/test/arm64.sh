# arm64.sh COMMAND…: runs it such that programs for 64-bit Arm can be started like any others, by whatever it starts in
# turn. The kernel starts them by qemu's user mode; its being told so (binfmt_misc) holds in a user namespace only,
# which needs no root, changes nothing outside and is gone when the command has ended. Needs Linux 6.7.
set -eu
binfmt=/proc/sys/fs/binfmt_misc

if [ "$1" != --inside ]; then
    [ "$(id -u)" = 0 ] || exec unshare --user --map-root-user --mount sh "$0" --inside "$@"
    # Root keeps all users, each as itself: there are tests that give files to others. Only a process that is outside may
    # say so, once the namespace is there.
    unshare --user --mount sh "$0" --inside "$@" &
    while [ "$(readlink /proc/$!/ns/user)" = "$(readlink /proc/self/ns/user)" ]; do sleep 0.05; done
    for map in uid_map gid_map; do
        awk '{ print $1, $1, $3 }' /proc/self/$map > /proc/$!/$map
    done
    wait $!
    exit
fi

shift
while [ "$(id -u)" != 0 ]; do sleep 0.05; done
if mount -t binfmt_misc binfmt_misc $binfmt 2>/dev/null; then
    # ELF, 64 bits, little-endian, an executable or a shared object, machine 183: scripts/qemu-binfmt-conf.sh of QEMU.
    magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
    mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
    printf '%s' ":tutti-arm64:M::$magic:$mask:$(command -v qemu-aarch64):" > $binfmt/register
elif [ ! -e $binfmt/qemu-aarch64 ]; then
    echo "this kernel is older than 6.7 or forbids namespaces; as root: apt-get install qemu-user-static" >&2
    exit 1
fi
exec "$@"
