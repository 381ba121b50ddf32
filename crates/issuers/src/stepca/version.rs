//! What is known about versions of step-ca.

/// Weaknesses of a version that the operator should know. Nothing for a version that cannot be read.
pub(super) fn warnings(version: &str) -> Vec<String> {
    let Some(parsed) = parse(version) else { return Vec::new() };
    let mut warnings = Vec::new();
    if parsed < (0, 29, 0) {
        warnings.push(format!(
            "step-ca {version} is older than 0.29.0: with any ACME provisioner it issues certificates to callers \
             without authorisation. Upgrade it."
        ));
    }
    if parsed < (0, 27, 3) {
        warnings.push(format!(
            "step-ca {version} is older than 0.27.3: it does not check that a one-time token is used for the key \
             it was made for. Upgrade it."
        ));
    }
    warnings
}

/// `0.30.2`, perhaps with `v` in front or a suffix.
fn parse(version: &str) -> Option<(u32, u32, u32)> {
    let mut parts = version.trim_start_matches('v').splitn(3, '.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?.parse().ok()?;
    let patch: String = parts.next()?.chars().take_while(char::is_ascii_digit).collect();
    Some((major, minor, patch.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_versions_are_warned_about() {
        for (version, count) in [
            ("0.19.0", 2),
            ("v0.27.2", 2),
            ("0.27.3", 1),
            ("0.28.4-rc1", 1),
            ("0.29.0", 0),
            ("0.30.2", 0),
            ("dev", 0),
        ] {
            assert_eq!(warnings(version).len(), count, "{version}");
        }
    }
}
