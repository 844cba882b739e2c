//! Defaults that depend on the host: `myhostname`, `mydomain`, `mynetworks`.

use std::net::IpAddr;

use crate::{Config, ConfigError, Result, fail, param};

/// Without any other domain (`postconf(5) mydomain`).
const NO_DOMAIN: &str = "localdomain";

/// Default host and domain name.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) domain: String,
}

impl Config {
    /// The default `myhostname` is the kernel's name, completed with an explicit `mydomain`; the default `mydomain` is
    /// what follows the first dot of `myhostname`.
    pub(crate) fn host(&self) -> Result<&Host> {
        if let Some(known) = self.host.get() {
            return Ok(known);
        }
        let name = self.default_host_name()?;
        let effective = match self.settings().get("myhostname") {
            Some(value) => self.without_default("mydomain").expand(value)?,
            None => name.clone(),
        };
        let domain = match effective.split_once('.') {
            Some((_, domain)) => domain.to_owned(),
            None => NO_DOMAIN.to_owned(),
        };
        Ok(self.host.get_or_init(|| Host { name, domain }))
    }

    fn default_host_name(&self) -> Result<String> {
        let name = nix::unistd::gethostname()
            .map_err(|e| ConfigError(format!("gethostname: {}", e.desc())))?
            .to_string_lossy()
            .into_owned();
        if name.contains('.') {
            return Ok(name);
        }
        let domain = match self.settings().get("mydomain") {
            Some(domain) => self.without_default("myhostname").expand(domain)?,
            None => NO_DOMAIN.to_owned(),
        };
        Ok(format!("{name}.{domain}"))
    }

    /// The addresses that `inet_interfaces` stands for, with the prefix lengths of their networks; limited to
    /// `inet_protocols`.
    ///
    /// # Errors
    /// `config variable inet_interfaces: host not found: X`; no interface list.
    pub fn own_interfaces(&self) -> Result<Vec<(IpAddr, u8)>> {
        let configured = self.str(param::INET_INTERFACES)?;
        let mut all = os_sys::net::interfaces()
            .map_err(|e| ConfigError(format!("getifaddrs: {}", crate::main_cf::errno_text(&e))))?;
        let (v4, v6) = self.protocols()?;
        all.retain(|(address, _)| if address.is_ipv4() { v4 } else { v6 });
        if configured == "all" {
            return Ok(all);
        }
        if configured == "loopback-only" {
            all.retain(|(address, _)| address.is_loopback());
            return Ok(all);
        }
        let mut wanted = Vec::new();
        for word in mail_text::list::words(&configured) {
            wanted.extend(addresses_of("inet_interfaces", word)?);
        }
        all.retain(|(address, _)| wanted.contains(address));
        Ok(all)
    }

    /// Whether `inet_protocols` has IPv4 and IPv6.
    ///
    /// # Errors
    /// `unknown inet_protocols value "x" in "…"`.
    pub fn protocols(&self) -> Result<(bool, bool)> {
        let value = self.str(param::INET_PROTOCOLS)?;
        let (mut v4, mut v6) = (false, false);
        for word in mail_text::list::words(&value) {
            match word.to_ascii_lowercase().as_str() {
                "all" => (v4, v6) = (true, true),
                "ipv4" => v4 = true,
                "ipv6" => v6 = true,
                _ => return fail(format!("unknown inet_protocols value \"{word}\" in \"{value}\"")),
            }
        }
        Ok((v4, v6))
    }

    /// The words of `notify_classes`, as they are written.
    ///
    /// # Errors
    /// `unknown notify_classes value "x" in "…"`.
    pub fn notify_classes(&self) -> Result<String> {
        const CLASSES: [&str; 8] =
            ["bounce", "2bounce", "data", "delay", "policy", "protocol", "resource", "software"];
        let value = self.str(param::NOTIFY_CLASSES)?;
        let is_known = |word: &str| CLASSES.iter().any(|class| class.eq_ignore_ascii_case(word));
        if let Some(word) = mail_text::list::words(&value).find(|word| !is_known(word)) {
            return fail(format!("unknown notify_classes value \"{word}\" in \"{value}\""));
        }
        Ok(value)
    }
}

/// The addresses of a host name or address in a list of own interfaces.
pub(crate) fn addresses_of(parameter: &str, word: &str) -> Result<Vec<IpAddr>> {
    let bare = word.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(word);
    if let Ok(address) = bare.parse() {
        return Ok(vec![address]);
    }
    match os_sys::net::addresses_of(bare) {
        os_sys::net::NameLookup::Found(addresses) => Ok(addresses),
        os_sys::net::NameLookup::NotFound | os_sys::net::NameLookup::Temporary(_) => {
            fail(format!("config variable {parameter}: host not found: {word}"))
        }
    }
}

/// `mynetworks_style` (`postconf(5)`).
#[derive(Clone, Copy)]
enum Style {
    Class,
    Subnet,
    Host,
}

/// The default `mynetworks`: one pattern per own network, without repetition.
pub(crate) fn networks(config: &Config) -> Result<String> {
    let value = config.str(param::MYNETWORKS_STYLE)?;
    let style = match value.to_ascii_lowercase().as_str() {
        "class" => Style::Class,
        "subnet" => Style::Subnet,
        "host" => Style::Host,
        _ => return fail(format!("unknown mynetworks mask style value \"{value}\" in \"{value}\"")),
    };
    let mut patterns: Vec<String> = Vec::new();
    for (address, prefix) in config.own_interfaces()? {
        let pattern = pattern(address, prefix, style);
        if !patterns.contains(&pattern) {
            patterns.push(pattern);
        }
    }
    // The blank at the end is the reference's, and shows where the value is used in another one.
    Ok(patterns.iter().flat_map(|pattern| [pattern, " "]).collect())
}

fn pattern(address: IpAddr, prefix: u8, style: Style) -> String {
    let width = match style {
        Style::Host if address.is_ipv4() => 32,
        Style::Host => 128,
        Style::Subnet => prefix,
        Style::Class => match address {
            IpAddr::V4(v4) => match v4.octets() {
                [first, ..] if first < 128 => 8,
                [first, ..] if first < 192 => 16,
                _ => 24,
            },
            IpAddr::V6(_) => prefix,
        },
    };
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(width.min(32))).unwrap_or(0);
            format!("{}/{width}", std::net::Ipv4Addr::from(u32::from(v4) & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(width.min(128))).unwrap_or(0);
            format!("[{}]/{width}", std::net::Ipv6Addr::from(u128::from(v6) & mask))
        }
    }
}
