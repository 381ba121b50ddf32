//! Bytes to certificate facts: PEM and DER, chain and name checks, keys and CSRs. No I/O.
