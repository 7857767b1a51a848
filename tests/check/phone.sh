# Runs a command beside a real adbd that nothing outside can reach: in network, mount and process namespaces of its own.
#   unshare --net --mount --pid --fork --kill-child bash phone.sh ROOT COMMAND…
# The only network is a loopback of its own; when this process ends, the kernel ends everything that it started.
set -eu
root=$1; shift
python3 -c '
import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh", b"lo", 0x1 | 0x40))'  # SIOCSIFFLAGS: up, running
mount --make-rprivate /
mount -t proc proc /proc
mkdir -p "$root/data/local/tmp"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o size=64m none "$root/data/local/tmp"
"$@"
