//! Provisioner-key decryption (PBES2) and one-time-token signing for Step-CA. No I/O.
