#!/bin/sh
# Pokes the sockets of a virtual machine or a container that can be thrown away, as root, except those on which only
# systemd listens, for services that are not running. scm must be in PATH. Most daemons take seconds, and one that stops
# reading takes half a minute. If CLIENTS is unknown, the address may be relative to the directory of the daemon, or the
# daemon may have renamed the file: poke the path that its clients use.
set -eu
systemctl --failed --plain --no-legend >before
scm poke --list >sockets
grep -qv '^PID' sockets || { echo "scm poke --list printed no socket" >&2; exit 1; }
while read -r pid type clients executable address; do
	case $pid in
	PID | 0 | 1) continue ;;
	esac
	echo "== $executable at $address, clients: $clients"
	timeout 120 scm poke --pid "$pid" --type "$type" --socket "$address" --name "${executable##*/}" </dev/null ||
		echo "exit status $?"
done <sockets
systemctl --failed --plain --no-legend >after
diff before after && echo "no service has failed"
