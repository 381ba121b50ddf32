#!/bin/bash
source "${PHOENIX_BASE_DIR}/bin/phoenix_hypervisor_common_utils.sh"
CTID="$1"

setup_traefik_directories() {
    pct exec "$CTID" -- mkdir -p /etc/traefik/dynamic
}

main() {
    setup_traefik_directories
    log_info "done"
}

main "$@"
