# For scripts that take the folder $1: the files of Debian's packages for 64-bit Arm, from this machine's own apt sources
# through lists of its own, so that the system stays as it is. Each part of what they make is a folder in it.

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

download() { (cd "$dir/deb" && apt_arm64 apt-get download "$1"); }

# What is in the package that was downloaded, as a tar file.
content() { dpkg-deb --fsys-tarfile "$dir"/deb/*.deb; }
