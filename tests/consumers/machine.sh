#!/usr/bin/env bash
# machine.sh - a Debian with systemd as PID 1 that plays one guest, with an address on the bridge of the network
# namespace that it is started in.
#
#   machine.sh run ROOTS BRIDGE ADDRESS     start it on the root that prepare.sh made in ROOTS, print "up PID", stay
#                                           until standard input ends, then take it down. PID is its PID 1, as seen
#                                           from here; ADDRESS has a prefix length, as in 10.0.0.12/24
#
# Its files are at /proc/PID/root; hypervisor/box.sh exec runs commands in it. It ends with the process that holds its
# standard input. Needs: what nspawn.sh needs, unshare, ip.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../nspawn.sh
. "$(dirname "${BASH_SOURCE[0]}")/../nspawn.sh"

usage() { echo 'usage: machine.sh run ROOTS BRIDGE ADDRESS' >&2; exit 2; }

# Runs in a mount namespace of its own.
keep() {
  local roots=$1 bridge=$2 address=$3
  set_up "phoenix-machine-$$" "$roots/root"
  # A directory that is no overlay, for dockerd's own overlays.
  mkdir "$work/docker"
  boot machine --network-bridge="$bridge" --bind="$work/docker:/var/lib/docker"
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
