//! What OpenSSL says: an opinion that shares no code with the product.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::process::run;
use crate::stepca::StepCa;

/// The pair is good: key and leaf belong together, and the chain in the file leads to the CA's root.
pub fn check_pair(ca: &StepCa, cert: &Path, key: &Path) -> Result<()> {
    let [cert_text, key_text] = [cert, key].map(|path| path.display().to_string());
    let root = ca.root.display().to_string();
    // -untrusted takes the intermediates out of the very file that a consumer would serve
    run("openssl", ["verify", "-x509_strict", "-CAfile", &root, "-untrusted", &cert_text, &cert_text])?;
    let of_cert = run("openssl", ["x509", "-in", &cert_text, "-noout", "-pubkey"])?.stdout;
    let of_key = run("openssl", ["pkey", "-in", &key_text, "-pubout"])?.stdout;
    ensure!(of_cert == of_key, "{cert_text} and {key_text} do not belong together");
    Ok(())
}

/// Serial number of the leaf, lower-case hexadecimal without leading zeros.
pub fn serial(cert: &Path) -> Result<String> {
    let out = x509(cert, &["-serial"])?;
    let hex = out.trim().strip_prefix("serial=").context("openssl shows no serial")?;
    Ok(hex.trim_start_matches('0').to_ascii_lowercase())
}

/// SHA-256 of the leaf, lower-case hexadecimal without separators.
pub fn fingerprint(cert: &Path) -> Result<String> {
    let out = x509(cert, &["-fingerprint", "-sha256"])?;
    let hex = out.trim().split_once('=').context("openssl shows no fingerprint")?.1;
    Ok(hex.replace(':', "").to_ascii_lowercase())
}

/// Subject alternative names and extended key usages, as OpenSSL words them.
pub fn extensions(cert: &Path) -> Result<String> {
    x509(cert, &["-ext", "subjectAltName,extendedKeyUsage"])
}

fn x509(cert: &Path, show: &[&str]) -> Result<String> {
    let path = cert.display().to_string();
    let arguments = ["x509", "-in", &path, "-noout"].into_iter().chain(show.iter().copied());
    Ok(String::from_utf8(run("openssl", arguments)?.stdout)?)
}

/// The secret number of an EC key, big-endian: what must not be found anywhere else.
pub fn secret_scalar(key: &Path) -> Result<Vec<u8>> {
    let path = key.display().to_string();
    let der = run("openssl", ["ec", "-in", &path, "-outform", "DER"])?.stdout;
    // SEC1 (RFC 5915): SEQUENCE, version 1, OCTET STRING with the number
    let at = der.windows(4).position(|window| window[..3] == [0x02, 0x01, 0x01] && window[3] == 0x04);
    let start = at.context("not an EC key")? + 4;
    let length = usize::from(*der.get(start).context("the key is cut")?);
    Ok(der.get(start + 1..start + 1 + length).context("the key is cut")?.to_vec())
}

/// The lines of a PEM file between its marks.
pub fn pem_lines(path: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text
        .lines()
        .filter(|line| !line.starts_with("-----") && !line.is_empty())
        .map(str::to_owned)
        .collect())
}

/// A leaf to be made the way the operator's old script made them: with the CA's own intermediate key, without the CA
/// knowing.
#[derive(Clone, Copy, Debug)]
pub struct Leaf<'a> {
    /// Subject CN.
    pub cn: &'a str,
    /// Subject alternative names in OpenSSL's notation.
    pub sans: &'a str,
    /// Extended key usages in OpenSSL's notation.
    pub usages: &'a str,
    /// Lifetime in days from now; a negative one is over.
    pub days: i32,
}

impl Leaf<'_> {
    /// Makes the pair: leaf and intermediate in one file, the key in the other.
    pub fn make(&self, ca: &StepCa, cert: &Path, key: &Path) -> Result<()> {
        let Self { cn, sans, usages, days } = self;
        let text = |path: &Path| path.display().to_string();
        let [cert_text, key_text, issuer] = [cert, key, &ca.intermediate()].map(text);
        let issuer_key = text(&ca.dir.join("secrets/intermediate_ca_key"));
        let password = format!("file:{}", ca.dir.join("secrets/password").display());
        let [csr, extensions] = ["csr", "ext"].map(|end| text(&ca.dir.join(format!("{cn}.{end}"))));
        fs::write(
            &extensions,
            format!(
                "subjectAltName={sans}\nextendedKeyUsage={usages}\nkeyUsage=critical,digitalSignature\n\
                 subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
            ),
        )?;
        let curve = "ec_paramgen_curve:P-256";
        run("openssl", ["genpkey", "-algorithm", "EC", "-pkeyopt", curve, "-out", &key_text])?;
        run("openssl", ["req", "-new", "-key", &key_text, "-subj", &format!("/CN={cn}"), "-out", &csr])?;
        let days = days.to_string();
        let sign = ["x509", "-req", "-in", &csr, "-CA", &issuer, "-CAkey", &issuer_key, "-passin", &password];
        let into = ["-days", &days, "-sha256", "-extfile", &extensions, "-out", &cert_text];
        run("openssl", sign.iter().chain(into.iter()))?;
        let whole = [fs::read(cert)?, fs::read(ca.intermediate())?].concat();
        fs::write(cert, whole).with_context(|| format!("cannot write {cert_text}"))
    }
}

/// Makes a valid pair for both sides of a connection, as the default template of Step-CA has it.
pub fn make_pair(ca: &StepCa, cert: &Path, key: &Path, cn: &str, sans: &str, days: i32) -> Result<()> {
    Leaf { cn, sans, usages: "serverAuth,clientAuth", days }.make(ca, cert, key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::StepCaVersion;
    use crate::scratch::Scratch;
    use crate::stepca::Options;

    #[test]
    fn a_pair_is_good_only_with_its_own_key_and_its_own_root() -> Result<()> {
        let scratch = Scratch::new()?;
        let [ca, other] = ["ca", "other"]
            .map(|name| StepCa::prepare(&scratch.join(name), StepCaVersion::V0_30_2, &Options::default()));
        let (ca, other) = (ca?, other?);
        let [cert, key, cert2, key2] = ["cert", "key", "cert2", "key2"].map(|name| scratch.join(name));
        make_pair(&ca, &cert, &key, "web.internal", "DNS:web.internal,IP:10.0.0.111", 1)?;
        make_pair(&ca, &cert2, &key2, "web.internal", "DNS:web.internal", 1)?;
        check_pair(&ca, &cert, &key)?;
        assert!(check_pair(&ca, &cert, &key2).is_err());
        assert!(check_pair(&other, &cert, &key).is_err());
        assert!(extensions(&cert)?.contains("IP Address:10.0.0.111"));
        assert_ne!(serial(&cert)?, serial(&cert2)?);
        assert_eq!(fingerprint(&cert)?.len(), 64);
        Ok(())
    }

    #[test]
    fn the_secret_number_is_what_openssl_prints() -> Result<()> {
        let scratch = Scratch::new()?;
        let key = scratch.join("key").display().to_string();
        run("openssl", ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", &key])?;
        let text = String::from_utf8(run("openssl", ["pkey", "-in", &key, "-noout", "-text"])?.stdout)?;
        let printed =
            text.split_once("priv:").and_then(|(_, rest)| rest.split_once("pub:")).context("no number")?.0;
        let digits = printed.replace(char::is_whitespace, "");
        let number: Result<Vec<u8>, _> = digits.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect();
        assert_eq!(number?, secret_scalar(Path::new(&key))?);
        assert!(pem_lines(Path::new(&key))?.len() > 2);
        Ok(())
    }
}
