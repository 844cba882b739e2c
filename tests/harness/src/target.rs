//! Which mail system the tests run against.

/// The mail system under test, from the environment variable `MTA_UNDER_TEST`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The reference, as the distribution installed it.
    Theirs,
    /// Ours.
    Ours,
    /// The reference with this one daemon of ours in it.
    Chimera(String),
    /// Ours with this one daemon of the reference in it.
    Reverse(String),
}

impl Target {
    /// The target that the environment names; ours when it names none.
    pub fn current() -> Self {
        match std::env::var("MTA_UNDER_TEST").as_deref() {
            Err(_) | Ok("" | "ours") => Self::Ours,
            Ok("theirs") => Self::Theirs,
            Ok(other) => match other.split_once(':') {
                Some(("chimera", name)) => Self::Chimera(name.to_owned()),
                Some(("reverse", name)) => Self::Reverse(name.to_owned()),
                Some(_) | None => {
                    panic!("MTA_UNDER_TEST={other}: want theirs, ours, chimera:DAEMON or reverse:DAEMON")
                }
            },
        }
    }

    /// Whether the master and the commands are ours.
    pub fn base_is_ours(&self) -> bool {
        matches!(self, Self::Ours | Self::Reverse(_))
    }

    /// Whether the daemon `name` (an executable's name, such as `smtpd`) is ours.
    pub fn daemon_is_ours(&self, name: &str) -> bool {
        match self {
            Self::Theirs => false,
            Self::Ours => true,
            Self::Chimera(ours) => ours == name,
            Self::Reverse(theirs) => theirs != name,
        }
    }

    /// Whether any part is the reference's.
    pub fn needs_reference(&self) -> bool {
        *self != Self::Ours
    }
}
