#!/usr/bin/env bash
# box.sh - a Debian with systemd as PID 1 that plays the hypervisor, on a machine whose own PID 1 may be anything.
#
#   box.sh run DIR         start it on the roots that prepare.sh made in DIR, print "up PID", stay until standard
#                          input ends, then take it down. PID is its PID 1, as seen from here
#   box.sh exec PID CMD…   run a command in it
#
# Its files are at /proc/PID/root. It ends with the process that holds its standard input.
# Needs: what nspawn.sh needs, unshare.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../nspawn.sh
. "$here/../nspawn.sh"

usage() { echo 'usage: box.sh run DIR | box.sh exec PID COMMAND…' >&2; exit 2; }

# Runs in a mount namespace of its own.
keep() {
  local roots=$1
  set_up "phoenix-box-$$" "$roots/root"
  tar -C "$here/box" -c . | tar -C "$work/root" -x --no-overwrite-dir --no-same-owner
  boot box --private-network --bind-ro="$here/guests:/srv/guests" --bind-ro="$roots/root:/srv/root" \
    --bind-ro="$roots/root-100000:/srv/root-100000"
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
