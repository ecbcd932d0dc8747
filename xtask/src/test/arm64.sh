# Runs "$@" such that programs for 64-bit Arm can be started like any others, by whatever they start in turn. Called in
# a user and mount namespace of its own: the registration with the kernel is seen in there only, needs no root, and is
# gone when "$@" has ended (binfmt_misc belongs to user namespaces since Linux 6.7).
set -eu
binfmt=/proc/sys/fs/binfmt_misc
if mount -t binfmt_misc binfmt_misc $binfmt 2>/dev/null; then
    # ELF, 64 bits, little-endian, an executable or a shared object, machine 183; from scripts/qemu-binfmt-conf.sh of QEMU.
    magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
    mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
    printf '%s' ":tutti-arm64:M::$magic:$mask:$(command -v qemu-aarch64):" > $binfmt/register
elif [ ! -e $binfmt/qemu-aarch64 ]; then
    echo "this kernel is older than 6.7 or forbids user namespaces; as root: apt-get install qemu-user-static" >&2
    exit 1
fi
exec "$@"
