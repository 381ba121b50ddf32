#!/usr/bin/env bash
# nspawn.sh - sourced by what boots a Debian with systemd as PID 1 in namespaces of its own: consumers/machine.sh and
# hypervisor/box.sh.
#
#   set_up NAME ROOT          a mount namespace's worth: $work in memory with an overlay of ROOT at $work/root, and a
#                             control group of its own. Call it in a mount namespace of its own
#   boot WHAT ARGUMENT…       systemd-nspawn with these further arguments; returns when systemd is up, $leader being its
#                             PID 1 as seen from here
#   run_in PID COMMAND…       runs a command in it, with the environment of a service
#
# Nothing is left behind: mounts live in the mount namespace, writes go to memory, and all of it ends with the process.
# Needs: root, nsenter, systemd-nspawn, cgroup.kill (Linux 5.14).

# What `set_up` and `boot` have made; empty until then.
leader='' nspawn='' group='' work='' name=''

# The process that is PID 1 inside: the child of nspawn that has a PID namespace of its own.
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
  nsenter -t "$leader" -a -- env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
    LANG=C.UTF-8 "$@"
}

is_up() { # PID
  [ -S "/proc/$1/root/run/dbus/system_bus_socket" ] || return 1
  case $(run_in "$1" systemctl is-system-running 2>/dev/null || true) in
    running | degraded) return 0 ;;
    *) return 1 ;;
  esac
}

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

set_up() { # NAME ROOT
  name=$1
  work=$(mktemp -d "${TMPDIR:-/tmp}/$name.XXXXXX")
  group=/sys/fs/cgroup/$name
  trap take_down EXIT
  trap 'exit 1' HUP INT TERM
  umount -Rl /sys/fs/cgroup
  mount -t cgroup2 none /sys/fs/cgroup
  mkdir "$group"
  mount -t tmpfs -o mode=755 none "$work"
  mkdir "$work/upper" "$work/work" "$work/root"
  mount -t overlay overlay -o "lowerdir=$2,upperdir=$work/upper,workdir=$work/work" "$work/root"
}

boot() { # WHAT ARGUMENT…
  local what=$1
  shift
  (
    echo "$BASHPID" >"$group/cgroup.procs"
    # What confines processes inside is what is tested there, and dockerd needs all that a real machine has: nspawn
    # itself forbids nothing.
    exec systemd-nspawn --quiet --directory="$work/root" --machine="$name" --register=no --keep-unit \
      --private-users=no --resolv-conf=off --timezone=off --console=pipe --capability=all \
      --system-call-filter=@known "$@" --boot
  ) </dev/null >"$work/console" 2>&1 &
  nspawn=$!
  for _ in $(seq 600); do
    leader=$(find_leader "$nspawn") && is_up "$leader" && break
    kill -0 "$nspawn" 2>/dev/null || break
    sleep 0.1
  done
  if [ -z "$leader" ] || ! is_up "$leader"; then
    echo "the $what did not come up:" >&2
    tail -n 20 "$work/console" >&2
    exit 1
  fi
}
