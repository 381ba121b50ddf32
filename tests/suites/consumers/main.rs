//! Every file of `config/` with the program that it is for: Traefik, dockerd in swarm mode, nginx. No daemon of ours:
//! what is shown here holds whoever renews the certificates.

mod boot;
mod docker;
mod nginx;
mod swarm;
mod traefik;
mod upgrade;
