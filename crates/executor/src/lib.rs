//! The privileged process: manifest, keys, tokens, files and commands. No network.
