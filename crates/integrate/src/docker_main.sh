    local VMID="$1"
    local TLS_DIR="/etc/docker/tls"
    log_info "--- Docker API with TLS on port 2376 for VMID: ${VMID} ---"

    # The certificate comes from Step-CA. Where phoenix-certd runs it is asked for now; inside the VM it was delivered.
    if command -v phoenix-certctl > /dev/null; then
        if ! phoenix-certctl sync docker-daemon --until written; then
            log_fatal "No certificate for the Docker API: phoenix-certctl explain docker-daemon says why."
        fi
    fi
    local file
    for file in ca.pem cert.pem key.pem; do
        if [ ! -s "${TLS_DIR}/${file}" ]; then
            log_fatal "${TLS_DIR}/${file} is not there yet: phoenix-certctl status on the hypervisor says why."
        fi
    done

    # No `hosts` here: dockerd refuses to start when flag and file name the same key.
    cat > /etc/docker/daemon.json <<'EOF'
@DAEMON_JSON@
EOF
    mkdir -p /etc/systemd/system/docker.service.d
    cat > /etc/systemd/system/docker.service.d/10-phoenix-tls.conf <<'EOF'
@DROP_IN@
EOF
    systemctl daemon-reload
    systemctl reset-failed docker || true
    if ! systemctl restart docker; then
        log_fatal "dockerd does not start with TLS: journalctl -u docker says why."
    fi
    log_success "dockerd serves its API on port 2376 and asks for client certificates."
