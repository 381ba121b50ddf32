#!/usr/bin/env bash
# rotate-tls-secrets.sh - give a Swarm service the present certificate, in one update of the service.
# Place: /usr/local/sbin/rotate-tls-secrets.sh in VM 1001.
#
#   rotate-tls-secrets.sh SERVICE TARGET=FILE:MODE:BASE…
#
#   rotate-tls-secrets.sh portainer_service_portainer \
#     /certs/cert.pem=/etc/portainer/tls/cert.pem:0444:portainer_tls_cert \
#     /certs/key.pem=/etc/portainer/tls/key.pem:0400:portainer_tls_key
#
#   rotate-tls-secrets.sh - TARGET=FILE:MODE:BASE…
#
# With - in the place of the service it only makes the secrets and prints the generation, for a stack that is deployed
# for the first time:  PORTAINER_TLS_GEN=$(rotate-tls-secrets.sh - …) docker stack deploy --compose-file …
#
# A secret cannot be changed, nor removed while a service uses it. So each certificate becomes a secret of its own,
# BASE.SERIAL, and the service is pointed to it; the old secrets are removed afterwards. The first FILE is the
# certificate: its serial number names the generation. A second run changes nothing.
# Ends with 0 only when the service has taken the new secrets; otherwise the old ones stay in use, or the message says
# that the swarm has not ended the update. Environment: WAIT, seconds for the update (120).
set -euo pipefail

# Whatever the default context of the caller is: it may hold a copy of an old client certificate.
docker() { command docker --host unix:///run/docker.sock "$@"; }
say() { printf 'rotate-tls-secrets: %s\n' "$*" >&2; }

[ $# -ge 2 ] || { say 'usage: rotate-tls-secrets.sh SERVICE TARGET=FILE:MODE:BASE…'; exit 2; }
service=$1
shift

certificate=${1#*=}
certificate=${certificate%%:*}
serial=$(openssl x509 -in "$certificate" -noout -serial)
generation=$(printf '%s' "${serial#serial=}" | tr 'A-F' 'a-f')

make_secret() { # NAME FILE
  docker secret inspect "$1" >/dev/null 2>&1 && return 0
  docker secret create --label phoenix.certificate="$generation" "$1" - <"$2" >/dev/null
  created+=("$1")
}

if [ "$service" = - ]; then
  created=()
  for spec in "$@"; do
    IFS=: read -r file _ base <<<"${spec#*=}"
    make_secret "$base.$generation" "$file"
  done
  echo "$generation"
  exit 0
fi

# "NAME TARGET" of each secret that the service has now.
has=$(docker service inspect "$service" \
  --format '{{range .Spec.TaskTemplate.ContainerSpec.Secrets}}{{.SecretName}} {{.File.Name}}{{"\n"}}{{end}}')

changes=() old=() created=() bases=()
discard() {
  local name
  for name in ${created[@]+"${created[@]}"}; do docker secret rm "$name" >/dev/null 2>&1 || true; done
}
trap discard EXIT

for spec in "$@"; do
  target=${spec%%=*}
  IFS=: read -r file mode base <<<"${spec#*=}"
  fresh=$base.$generation
  bases+=("$base")
  present=$(awk -v target="$target" '$2 == target { print $1 }' <<<"$has")
  [ "$present" != "$fresh" ] || continue
  make_secret "$fresh" "$file"
  if [ -n "$present" ]; then
    changes+=(--secret-rm "$present")
    old+=("$present")
  fi
  changes+=(--secret-add "source=$fresh,target=$target,mode=$mode")
done

# Asked of the service itself: exit code 0 is also given for an update that was rolled back, and one that is not waited
# for any longer goes on in the swarm.
update_state() {
  docker service inspect "$service" --format '{{with .UpdateStatus}}{{.State}}{{end}}' || echo unknown
}

# Secrets of other generations, also those of an update that was not waited for to its end.
clear_up() {
  local name
  for name in $(docker secret ls --filter label=phoenix.certificate --format '{{.Name}}'); do
    case " ${bases[*]} " in *" ${name%.*} "*) ;; *) continue ;; esac
    [ "${name##*.}" != "$generation" ] || continue
    docker secret rm "$name" >/dev/null || say "$name is still used by another service, and stays"
  done
}

if [ ${#changes[@]} -eq 0 ]; then
  case $(update_state) in
    updating | rollback_started | unknown)
      say "the last update of $service has not ended; see docker service ps $service"
      exit 1
      ;;
  esac
  clear_up
  echo "unchanged: $service has generation $generation"
  exit 0
fi
# One update: certificate and key change together, and a task that does not come up brings the old ones back.
export -f docker
ended=0
timeout "${WAIT:-120}" bash -c 'docker service update --quiet "$@" >/dev/null' - \
  --update-failure-action rollback --update-monitor 5s "${changes[@]}" "$service" || ended=$?
state=$(update_state)
case $ended:$state in
  # 124: not waited for any longer. What is told then may be of the update before.
  *:updating | *:rollback_started | *:unknown | 124:completed)
    # The secrets of the update are in use, or may be: none is removed.
    created=()
    say "the update of $service is \"$state\" and goes on in the swarm, with $generation or back to what it had; see" \
      "docker service ps $service, and run this again when it has ended"
    exit 1
    ;;
  0:completed) ;;
  *)
    say "the update of $service failed (\"$state\"); it goes on with the secrets that it had"
    exit 1
    ;;
esac
created=()
clear_up
# What the service had before it had generations.
for name in ${old[@]+"${old[@]}"}; do
  ! docker secret inspect "$name" >/dev/null 2>&1 || docker secret rm "$name" >/dev/null || say "$name is still used by another service, and stays"
done
echo "rotated: $service has generation $generation"
