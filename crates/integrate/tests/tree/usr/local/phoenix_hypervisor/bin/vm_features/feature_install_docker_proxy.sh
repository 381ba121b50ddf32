#!/bin/bash
#
# Installs the Docker socket proxy in a VM.

source "/persistent-storage/.phoenix_scripts/phoenix_hypervisor_common_utils.sh"

main() {
    local VMID="$1"
    local CERT_DIR="/etc/docker/certs.d"
    log_info "--- Docker proxy for VM ${VMID} ---"
    mkdir -p "${CERT_DIR}"

    # a certificate that nobody renews
    if [ ! -f "${CERT_DIR}/ca.pem" ]; then
        openssl genrsa -out "${CERT_DIR}/ca-key.pem" 4096
        openssl req -new -x509 -days 365 -key "${CERT_DIR}/ca-key.pem" -sha256 \
            -subj "/CN=docker-ca" -out "${CERT_DIR}/ca.pem"
    fi

    cat > /etc/docker/daemon.json <<EOF
{
  "hosts": ["unix:///var/run/docker.sock", "tcp://0.0.0.0:2375"],
  "dns": ["10.0.0.1"],
  "log-driver": "journald"
}
EOF
    systemctl restart docker || log_fatal "docker does not start"
}

main "$@"
