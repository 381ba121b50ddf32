#!/bin/bash
source "${PHOENIX_BASE_DIR}/bin/phoenix_hypervisor_common_utils.sh"

log_info "--- automated renewal ---"

CRON_JOB_COMMAND="/usr/local/phoenix_hypervisor/bin/managers/certificate-renewal-manager.sh"
CRON_JOB_LINE="0 */12 * * * ${CRON_JOB_COMMAND}"
CURRENT_CRON=$(crontab -l 2>/dev/null || true)

if echo "${CURRENT_CRON}" | grep -Fq "${CRON_JOB_COMMAND}"; then
    log_info "already there"
else
    (echo "${CURRENT_CRON}"; echo "${CRON_JOB_LINE}") | crontab -
    if [ $? -eq 0 ]; then
        log_success "added"
    else
        log_fatal "failed"
    fi
fi
