//! Certificates from Step-CA behind one Issuer trait.
