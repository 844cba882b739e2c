//! Who is on the other end.

/// How far a host name can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameStatus {
    /// The address has this name and the name this address.
    Ok,
    /// A lookup failed for now.
    Temporary,
    /// There is no name.
    Permanent,
    /// The name does not resolve back to the address.
    Forged,
}

/// What the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// After HELO, or nothing yet.
    Smtp,
    /// After EHLO.
    Esmtp,
}

impl Protocol {
    /// The name in logs, queue files and headers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Smtp => "SMTP",
            Self::Esmtp => "ESMTP",
        }
    }
}

/// The client, as its socket, the name service and XCLIENT tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Verified host name, or `unknown`.
    pub name: String,
    /// Name of the address, not verified, or `unknown`.
    pub reverse_name: String,
    /// Address without decoration.
    pub address: String,
    /// Port, or `unknown`.
    pub port: String,
    /// Trust in `name`.
    pub name_status: NameStatus,
    /// Trust in `reverse_name`.
    pub reverse_status: NameStatus,
    /// The names are settled (XCLIENT): not to be looked up.
    pub names_given: bool,
    /// Own address of the connection.
    pub server_address: String,
    /// Own port of the connection.
    pub server_port: String,
}

/// The word for what is not known.
pub(crate) const UNKNOWN: &str = "unknown";

impl Client {
    /// A client at `address`, its name not known yet.
    #[must_use]
    pub fn at(address: &str, port: &str) -> Self {
        Self {
            name: UNKNOWN.into(),
            reverse_name: UNKNOWN.into(),
            address: address.into(),
            port: port.into(),
            name_status: NameStatus::Permanent,
            reverse_status: NameStatus::Permanent,
            names_given: false,
            server_address: UNKNOWN.into(),
            server_port: UNKNOWN.into(),
        }
    }

    /// `name[address]`, or `name[address]:port` (`postconf(5) smtpd_client_port_logging`).
    #[must_use]
    pub fn text(&self, with_port: bool) -> String {
        if with_port {
            return format!("{}[{}]:{}", self.name, self.address, self.port);
        }
        format!("{}[{}]", self.name, self.address)
    }

    /// The address as in RFC 5321 literals: `IPv6:` before an IPv6 address.
    #[must_use]
    pub fn literal(&self) -> String {
        if self.address.contains(':') { format!("IPv6:{}", self.address) } else { self.address.clone() }
    }
}
