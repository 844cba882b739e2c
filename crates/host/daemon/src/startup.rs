//! From argv to a daemon that is ready to serve.

use host_config::Config;
use os_sys::identity::Root;

use crate::FlowPipe;

/// What `init` gets. Everything here is as root and outside the chroot jail.
#[derive(Debug)]
pub struct Startup {
    /// main.cf with the `-o name=value` settings applied.
    pub config: Config,
    /// First field of the master.cf line (`-n`), e.g. `smtp`, `relay`, `[::1]:10025`; else the program name.
    pub service_name: String,
    /// The name that the program is called by (`smtp`, `lmtp`).
    pub program: String,
    /// Second field of the master.cf line (`-t`): inet, unix, pass, fifo, unix-dgram. Empty when stand-alone.
    pub transport_type: String,
    /// Arguments after the options.
    pub arguments: Vec<String>,
    /// `-S`: one client on standard input and output, no master.
    pub standalone: bool,
    /// How many sessions this process may hold at a time; 0 = no limit; 1 = classic.
    pub quota: usize,
    /// The right to change identity; present in services that keep root (and only when run as root).
    pub root: Option<Root>,
    /// `-o stress=yes`: the service is at its process limit.
    pub stress: bool,
    /// Number of `-v` options.
    pub verbose: usize,
    /// The in-flow tokens.
    pub flow: FlowPipe,
}
