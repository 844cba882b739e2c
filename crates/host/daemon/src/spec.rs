//! What a daemon declares about itself.

/// What the `maxproc` column of master.cf must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessLimit {
    /// Whatever the administrator says.
    Any,
    /// 1 (`service NAME requires a process limit of 1`).
    One,
    /// 0 (`service NAME requires a process limit of 0`).
    Zero,
}

/// What the `unprivileged` column of master.cf must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// Runs as `mail_owner` when master says so (`-u`).
    Drops,
    /// Needs root to act for users (`service NAME requires privileged operation`).
    Keeps,
}

/// One constant per daemon: `const SPEC: Spec = Spec { announce: Some("…"), ..Spec::new("showq") };`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Program name, for messages before argv is read (the log tag is the name the program is called by).
    pub name: &'static str,
    /// Condition on the process limit.
    pub process_limit: ProcessLimit,
    /// Condition on privileges.
    pub privilege: Privilege,
    /// Protocol name that the loop sends (`protocol=NAME`) as soon as a client is taken up.
    pub announce: Option<&'static str>,
    /// The announcement is in the plain encoding (anvil), not in the NUL one.
    pub announce_plain: bool,
    /// Serves any number of clients, whatever `max_use` says.
    pub ignores_max_use: bool,
    /// Never ends for want of clients, whatever `max_idle` says.
    pub ignores_max_idle: bool,
    /// Accepts master.cf arguments after the options.
    pub takes_arguments: bool,
    /// Clients stay connected and send requests now and then (the reference's multi servers: rewrite, verify, anvil,
    /// proxymap): any number of them, they never count as taken, and they are cut off between requests at the end.
    pub persistent_clients: bool,
    /// Event loops only: clients are triggers (qmgr), they come to `EventService::trigger`. Those that ask for it
    /// (`proto_ipc::trigger::KEEP`) stay connected, and their words come to `EventService::word`.
    pub triggers: bool,
    /// Waits at its start until a former process of the service has ended, also that of a master that was killed.
    pub alone: bool,
    /// Has something to write at its end: it ends when master does, not of SIGTERM.
    pub ends_with_master: bool,
    /// Time limit for one piece of work, in seconds; `None`: `daemon_timeout`.
    pub watchdog_seconds: Option<u64>,
}

impl Spec {
    /// A daemon without peculiarities.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            process_limit: ProcessLimit::Any,
            privilege: Privilege::Drops,
            announce: None,
            announce_plain: false,
            ignores_max_use: false,
            ignores_max_idle: false,
            takes_arguments: false,
            persistent_clients: false,
            triggers: false,
            alone: false,
            ends_with_master: false,
            watchdog_seconds: None,
        }
    }
}
