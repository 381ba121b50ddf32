#!/usr/bin/env bash
# box.sh - a Debian with systemd as PID 1 that plays the hypervisor, on a machine whose own PID 1 may be anything.
#
#   box.sh run DIR         start it on the roots that prepare.sh made in DIR, print "up PID", stay until standard
#                          input ends, then take it down. PID is its PID 1, as seen from here
#   box.sh exec PID CMD…   run a command in it
#
# Its files are at /proc/PID/root. Nothing is left behind: mounts live in a mount namespace of their own, writes go to
# an overlay in memory, and the box ends with the process that holds its standard input.
# Needs: root, unshare, nsenter, systemd-nspawn, cgroup.kill (Linux 5.14).
set -euo pipefail

usage() { echo 'usage: box.sh run DIR | box.sh exec PID COMMAND…' >&2; exit 2; }

# The process that is PID 1 in the box: the child of nspawn that has a PID namespace of its own.
find_leader() {
  local child
  for child in $(cat "/proc/$1/task/"*/children 2>/dev/null); do
    if [ "$(awk '/^NSpid/ { print $NF }' "/proc/$child/status" 2>/dev/null)" = 1 ]; then
      echo "$child"
      return 0
    fi
  done
  return 1
}

run_in() { # PID COMMAND…
  local leader=$1
  shift
  nsenter -t "$leader" -a -- env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "$@"
}

is_up() { # PID
  [ -S "/proc/$1/root/run/dbus/system_bus_socket" ] || return 1
  case $(run_in "$1" systemctl is-system-running 2>/dev/null || true) in
    running | degraded) return 0 ;;
    *) return 1 ;;
  esac
}

# What `keep` has made; empty until then.
leader='' nspawn='' group='' work=''

take_down() {
  # Without waiting for an orderly halt.
  [ ! -e "$group/cgroup.kill" ] || echo 1 >"$group/cgroup.kill"
  if [ -n "$nspawn" ]; then
    kill -KILL "$nspawn" 2>/dev/null || true
    wait "$nspawn" 2>/dev/null || true
  fi
  for _ in $(seq 50); do
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
    [ -d "$group" ] || break
    sleep 0.1
  done
  umount -l "$work" 2>/dev/null || true
  rmdir "$work"
}

# Runs in a mount namespace of its own.
keep() {
  local roots=$1 here name
  here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
  name=phoenix-box-$$
  work=$(mktemp -d "${TMPDIR:-/tmp}/$name.XXXXXX")
  group=/sys/fs/cgroup/$name
  trap take_down EXIT
  trap 'exit 1' HUP INT TERM
  umount -Rl /sys/fs/cgroup
  mount -t cgroup2 none /sys/fs/cgroup
  mkdir "$group"
  mount -t tmpfs -o mode=755 none "$work"
  mkdir "$work/upper" "$work/work" "$work/root"
  mount -t overlay overlay -o "lowerdir=$roots/root,upperdir=$work/upper,workdir=$work/work" "$work/root"
  tar -C "$here/box" -c . | tar -C "$work/root" -x --no-overwrite-dir --no-same-owner
  (
    echo "$BASHPID" >"$group/cgroup.procs"
    # What confines processes in the box is what is tested there: nspawn itself forbids nothing.
    exec systemd-nspawn --quiet --directory="$work/root" --machine="$name" --register=no \
      --keep-unit --private-users=no --private-network --resolv-conf=off --timezone=off --console=pipe \
      --capability=all --system-call-filter=@known --bind-ro="$here/guests:/srv/guests" \
      --bind-ro="$roots/root:/srv/root" --bind-ro="$roots/root-100000:/srv/root-100000" --boot
  ) </dev/null >"$work/console" 2>&1 &
  nspawn=$!
  for _ in $(seq 600); do
    leader=$(find_leader "$nspawn") && is_up "$leader" && break
    kill -0 "$nspawn" 2>/dev/null || break
    sleep 0.1
  done
  if [ -z "$leader" ] || ! is_up "$leader"; then
    echo 'the box did not come up:' >&2
    tail -n 20 "$work/console" >&2
    exit 1
  fi
  echo "up $leader"
  cat >/dev/null
}

case ${1:-} in
  run)
    [ $# = 2 ] || usage
    exec unshare --mount --propagation private "${BASH_SOURCE[0]}" keep "$2"
    ;;
  keep) keep "$2" ;;
  exec)
    [ $# -ge 3 ] || usage
    run_in "${@:2}"
    ;;
  *) usage ;;
esac
