//! Crash-safe installation of key pairs into hostile directories, generations and ledger.
