//! The process as its operator sees it: killed, stopped, out of disk, started for the first time.

pub(crate) mod disk;
mod first_run;
mod retention;
pub(crate) mod sigkill;
mod stop;
