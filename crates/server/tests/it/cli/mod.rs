//! The command line, as a person and a script use it: each way to a server, each command, each exit code.

mod backup;
mod channel;
mod doctor;
mod exit_codes;
mod https;
mod redrive;
mod send;
mod socket;
mod tail;
mod ways;
mod why;
