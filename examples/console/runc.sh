#!/bin/sh
# Usage: runc.sh SOCKET COMMAND. Run COMMAND in a container, and send its terminal to SOCKET. Needs root.
# The script runs in its own mount namespace to mount cgroup v2. The container uses the host's programs.
set -eu

# listens PATH succeeds if a server is listening there. That the path exists is not enough: bind(2) creates it.
# A trial connection would use up the only connection that console accepts.
listens() {
	while read -r _ _ _ flags _ _ _ path; do
		[ "$flags $path" != "00010000 $1" ] || return 0
	done </proc/net/unix
	return 1
}
tries=0
until listens "$1" || listens "$(realpath "$1" 2>/dev/null)"; do
	tries=$((tries + 1))
	[ "$tries" -le 100 ] || { echo "$0: no server is listening at $1" >&2; exit 1; }
	sleep 0.1
done

[ "${3-}" = inside ] || exec unshare --mount "$0" "$1" "$2" inside
umount -R /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 cgroup2 /sys/fs/cgroup

bundle=$(mktemp -d)
id=scm-console-$$
trap 'runc --root "$bundle/state" delete --force "$id"; rm -rf "$bundle"' EXIT
mkdir "$bundle/rootfs"
mounts=
for folder in /usr /bin /lib /lib64; do
	[ ! -e "$folder" ] || mounts="$mounts, {\"destination\": \"$folder\", \"type\": \"bind\", \"source\": \"$folder\", \"options\": [\"rbind\", \"ro\"]}"
done
cat >"$bundle/config.json" <<END
{"ociVersion": "1.0.2", "root": {"path": "rootfs"},
 "process": {"terminal": true, "user": {"uid": 0, "gid": 0}, "cwd": "/", "args": ["/bin/sh", "-c", "$2"]},
 "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
  {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
  {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"]}$mounts],
 "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}]}}
END
runc --root "$bundle/state" run --detach --bundle "$bundle" --console-socket "$(realpath "$1")" "$id"
while [ "$(runc --root "$bundle/state" state "$id" | grep -c '"status": "running"')" = 1 ]; do sleep 0.05; done
