#!/usr/bin/env bash
# machine.sh - a Debian with systemd as PID 1 that plays one guest, with an address on the bridge of the network
# namespace that it is started in.
#
#   machine.sh run ROOTS BRIDGE ADDRESS     start it on the root that prepare.sh made in ROOTS, print "up PID", stay
#                                           until standard input ends, then take it down. PID is its PID 1, as seen
#                                           from here; ADDRESS has a prefix length, as in 10.0.0.12/24
#
# Its files are at /proc/PID/root; tests/hypervisor/box.sh exec runs commands in it. Nothing is left behind: mounts live
# in a mount namespace of their own, writes go to memory, and it ends with the process that holds its standard input.
# Needs: root, unshare, nsenter, ip, systemd-nspawn, cgroup.kill (Linux 5.14).
set -euo pipefail

usage() { echo 'usage: machine.sh run ROOTS BRIDGE ADDRESS' >&2; exit 2; }

# The process that is PID 1 in the machine: the child of nspawn that has a PID namespace of its own.
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

is_up() { # PID
  [ -S "/proc/$1/root/run/dbus/system_bus_socket" ] || return 1
  case $(nsenter -t "$1" -a -- systemctl is-system-running 2>/dev/null || true) in
    running | degraded) return 0 ;;
    *) return 1 ;;
  esac
}

# What `keep` has made; empty until then.
leader='' nspawn='' group='' work=''

take_down() {
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
  local roots=$1 bridge=$2 address=$3 name=phoenix-machine-$$
  work=$(mktemp -d "${TMPDIR:-/tmp}/$name.XXXXXX")
  group=/sys/fs/cgroup/$name
  trap take_down EXIT
  trap 'exit 1' HUP INT TERM
  umount -Rl /sys/fs/cgroup
  mount -t cgroup2 none /sys/fs/cgroup
  mkdir "$group"
  mount -t tmpfs -o mode=755 none "$work"
  mkdir "$work/upper" "$work/work" "$work/root" "$work/docker"
  mount -t overlay overlay -o "lowerdir=$roots/root,upperdir=$work/upper,workdir=$work/work" "$work/root"
  (
    echo "$BASHPID" >"$group/cgroup.procs"
    # dockerd needs all that a real machine has, and a directory that is no overlay for its own overlays.
    exec systemd-nspawn --quiet --directory="$work/root" --machine="$name" --register=no \
      --keep-unit --private-users=no --network-bridge="$bridge" --resolv-conf=off --timezone=off --console=pipe \
      --capability=all --system-call-filter=@known --bind="$work/docker:/var/lib/docker" --boot
  ) </dev/null >"$work/console" 2>&1 &
  nspawn=$!
  for _ in $(seq 600); do
    leader=$(find_leader "$nspawn") && is_up "$leader" && break
    kill -0 "$nspawn" 2>/dev/null || break
    sleep 0.1
  done
  if [ -z "$leader" ] || ! is_up "$leader"; then
    echo 'the machine did not come up:' >&2
    tail -n 20 "$work/console" >&2
    exit 1
  fi
  nsenter -t "$leader" -n -- ip address add "$address" dev host0
  nsenter -t "$leader" -n -- ip link set host0 up
  echo "up $leader"
  cat >/dev/null
}

case ${1:-} in
  run)
    [ $# = 4 ] || usage
    exec unshare --mount --propagation private "${BASH_SOURCE[0]}" keep "${@:2}"
    ;;
  keep) keep "${@:2}" ;;
  *) usage ;;
esac
