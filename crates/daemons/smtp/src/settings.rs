//! The parameters of the SMTP and LMTP clients, read once.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use host_config::{Config, ConfigError, param};
use host_daemon::Startup;
use host_delivery::postmaster::Postmaster;
use host_tables::{Flags, Maps, TableContext};
use mail_lookup::{LookupError, MapsLookup as _};
use mail_mime::Limits;
use proto_dns::{Kind, Resolver};
use proto_smtp::keywords::Keywords;
use proto_smtp::transcript::{ErrorClass, ErrorClasses};

use crate::generic::Generic;

/// Resolved settings (`smtp_*` or `lmtp_*` by the name of the program).
#[allow(clippy::struct_excessive_bools)] // one flag a yes/no parameter
pub struct Settings {
    /// Speaks LMTP.
    pub lmtp: bool,
    /// `myhostname`.
    pub myhostname: String,
    /// `smtp_helo_name`, `lmtp_lhlo_name`.
    pub helo_name: String,
    /// `smtp_always_send_ehlo`.
    pub always_ehlo: bool,
    /// `smtp_skip_5xx_greeting`.
    pub skip_5xx_greeting: bool,
    /// Keywords of EHLO that are not used.
    pub discard_ehlo: Discarded,
    /// `smtp_fallback_relay`.
    pub fallback_relay: Vec<String>,
    /// `relayhost`, to tell its configuration problems.
    pub relayhost: String,
    /// `smtp_tcp_port`, `lmtp_tcp_port`.
    pub default_port: String,
    /// The port at which loops are looked for.
    pub standard_port: u16,
    /// `smtp_mx_address_limit`; 0: none.
    pub address_limit: usize,
    /// `smtp_mx_session_limit`; 0: none.
    pub session_limit: usize,
    /// `smtp_randomize_addresses`.
    pub randomize_addresses: bool,
    /// `smtp_dns_support_level` is not `disabled`.
    pub dns_enabled: bool,
    /// `smtp_host_lookup` names `native`.
    pub native_lookup: bool,
    /// `ignore_mx_lookup_error`.
    pub ignore_mx_lookup_error: bool,
    /// `smtp_defer_if_no_mx_address_found`.
    pub defer_if_no_mx_address_found: bool,
    /// Address families by `inet_protocols`.
    pub address_kinds: Vec<Kind>,
    /// `smtp_address_preference`: IPv6 first, IPv4 first, or any.
    pub prefer_v6: Option<bool>,
    /// Addresses of this host, and `proxy_interfaces`.
    pub own_addresses: Vec<IpAddr>,
    /// The resolver.
    pub resolver: Resolver,
    /// `smtp_bind_address`.
    pub bind_v4: Option<IpAddr>,
    /// `smtp_bind_address6`.
    pub bind_v6: Option<IpAddr>,
    /// `smtp_line_length_limit`; 0: none.
    pub line_length_limit: usize,
    /// `smtp_quote_rfc821_envelope`.
    pub quote_envelope: bool,
    /// `smtp_send_xforward_command`.
    pub send_xforward: bool,
    /// `disable_mime_output_conversion`.
    pub keep_encoding: bool,
    /// `smtp_send_dummy_mail_auth`.
    pub dummy_mail_auth: bool,
    /// TLS level configured: may, or one that cannot be had.
    pub tls: TlsLevel,
    /// `smtp_log_tls_feature_status`.
    pub log_tls: bool,
    /// `smtp_connection_cache_on_demand`.
    pub cache_on_demand: bool,
    /// `smtp_connection_cache_destinations`.
    pub cache_destinations: Vec<String>,
    /// `smtp_skip_quit_response`.
    pub skip_quit_response: bool,
    /// Errors of servers whose transcript the postmaster wants (`notify_classes`).
    pub notice_classes: ErrorClasses,
    /// `smtp_generic_maps`
    pub generic: Option<Generic>,
    /// Who hears of them.
    pub postmaster: Postmaster,
    /// Limits for the conversion to 7bit.
    pub mime_limits: Limits,
    /// Limits of each stage.
    pub timeouts: Timeouts,
}

/// `smtp_tls_security_level` as far as this client can follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsLevel {
    /// Plaintext.
    None,
    /// TLS when possible; without a TLS engine always plaintext.
    May,
    /// TLS or nothing: deferred, since there is no TLS engine.
    Required,
}

/// How long each stage may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// `smtp_connect_timeout`
    pub connect: Duration,
    /// `smtp_helo_timeout`, also the greeting.
    pub helo: Duration,
    /// `smtp_mail_timeout`
    pub mail: Duration,
    /// `smtp_rcpt_timeout`
    pub rcpt: Duration,
    /// `smtp_data_init_timeout`
    pub data_init: Duration,
    /// `smtp_data_xfer_timeout`
    pub data_transfer: Duration,
    /// `smtp_data_done_timeout`
    pub data_done: Duration,
    /// `smtp_rset_timeout`
    pub rset: Duration,
    /// `smtp_quit_timeout`
    pub quit: Duration,
    /// `smtp_xforward_timeout`
    pub xforward: Duration,
    /// `smtp_connection_cache_time_limit`
    pub cache: Duration,
    /// `smtp_connection_reuse_time_limit`
    pub reuse: Duration,
}

macro_rules! timeouts {
    ($config:ident, $($field:ident: $name:ident),* $(,)?) => {
        Timeouts { $($field: $config.time(param::$name)?),* }
    };
}

impl Timeouts {
    fn new(config: &Config, lmtp: bool) -> Result<Self, ConfigError> {
        Ok(if lmtp {
            timeouts!(config, connect: LMTP_CONNECT_TIMEOUT, helo: LMTP_LHLO_TIMEOUT, mail: LMTP_MAIL_TIMEOUT,
                rcpt: LMTP_RCPT_TIMEOUT, data_init: LMTP_DATA_INIT_TIMEOUT, data_transfer: LMTP_DATA_XFER_TIMEOUT,
                data_done: LMTP_DATA_DONE_TIMEOUT, rset: LMTP_RSET_TIMEOUT, quit: LMTP_QUIT_TIMEOUT,
                xforward: LMTP_XFORWARD_TIMEOUT, cache: LMTP_CONNECTION_CACHE_TIME_LIMIT,
                reuse: LMTP_CONNECTION_REUSE_TIME_LIMIT)
        } else {
            timeouts!(config, connect: SMTP_CONNECT_TIMEOUT, helo: SMTP_HELO_TIMEOUT, mail: SMTP_MAIL_TIMEOUT,
                rcpt: SMTP_RCPT_TIMEOUT, data_init: SMTP_DATA_INIT_TIMEOUT, data_transfer: SMTP_DATA_XFER_TIMEOUT,
                data_done: SMTP_DATA_DONE_TIMEOUT, rset: SMTP_RSET_TIMEOUT, quit: SMTP_QUIT_TIMEOUT,
                xforward: SMTP_XFORWARD_TIMEOUT, cache: SMTP_CONNECTION_CACHE_TIME_LIMIT,
                reuse: SMTP_CONNECTION_REUSE_TIME_LIMIT)
        })
    }
}

/// Keywords of EHLO that are not used.
pub struct Discarded {
    /// `smtp_discard_ehlo_keywords`
    keywords: Keywords,
    /// `smtp_discard_ehlo_keyword_address_maps`
    maps: Maps,
    /// Name of the parameter of the maps.
    title: &'static str,
}

impl Discarded {
    fn new(config: &Config, tables: &TableContext, lmtp: bool) -> Result<Self, ConfigError> {
        let (keywords, maps) = if lmtp {
            (param::LMTP_DISCARD_LHLO_KEYWORDS, param::LMTP_DISCARD_LHLO_KEYWORD_ADDRESS_MAPS)
        } else {
            (param::SMTP_DISCARD_EHLO_KEYWORDS, param::SMTP_DISCARD_EHLO_KEYWORD_ADDRESS_MAPS)
        };
        Ok(Self {
            keywords: Keywords::parse(&config.str(keywords)?),
            maps: Maps::open(maps.name(), &config.str(maps)?, Flags::default(), tables),
            title: maps.name(),
        })
    }

    /// Those of the server at `address`.
    ///
    /// # Errors
    /// The table could not tell; logged for this message.
    pub fn with(&self, address: IpAddr, queue_id: &str) -> Result<Keywords, LookupError> {
        let found = self.maps.find(&address.to_string(), false).inspect_err(|_| {
            os_log::warning!("{queue_id}: {} map lookup error for {address}", self.title);
        })?;
        Ok(found.map_or(self.keywords, |words| Keywords::parse(&words)))
    }

    /// Those of a server without address.
    pub const fn usual(&self) -> Keywords {
        self.keywords
    }

    fn changed(&self) -> Option<String> {
        self.maps.changed()
    }
}

impl Settings {
    /// Reads the configuration.
    ///
    /// # Errors
    /// [`ConfigError`] for a bad value.
    pub fn new(startup: &Startup, tables: &TableContext) -> Result<Self, ConfigError> {
        let config = &startup.config;
        let lmtp = startup.program == "lmtp";
        macro_rules! by_protocol {
            ($get:ident, $smtp:ident, $lmtp:ident) => {
                config.$get(if lmtp { param::$lmtp } else { param::$smtp })?
            };
        }
        let list =
            |text: String| -> Vec<String> { mail_text::list::words(&text).map(str::to_owned).collect() };
        let dns_level = by_protocol!(str, SMTP_DNS_SUPPORT_LEVEL, LMTP_DNS_SUPPORT_LEVEL);
        let lookup = by_protocol!(str, SMTP_HOST_LOOKUP, LMTP_HOST_LOOKUP);
        let kinds = address_kinds(&config.str(param::INET_PROTOCOLS)?);
        Ok(Self {
            lmtp,
            myhostname: config.str(param::MYHOSTNAME)?,
            helo_name: by_protocol!(str, SMTP_HELO_NAME, LMTP_LHLO_NAME),
            always_ehlo: lmtp || config.bool(param::SMTP_ALWAYS_SEND_EHLO)?,
            skip_5xx_greeting: by_protocol!(bool, SMTP_SKIP_5XX_GREETING, LMTP_SKIP_5XX_GREETING),
            discard_ehlo: Discarded::new(config, tables, lmtp)?,
            fallback_relay: list(by_protocol!(str, SMTP_FALLBACK_RELAY, LMTP_FALLBACK_RELAY)),
            relayhost: config.str(param::RELAYHOST)?,
            default_port: by_protocol!(str, SMTP_TCP_PORT, LMTP_TCP_PORT),
            standard_port: 25,
            address_limit: count(by_protocol!(int, SMTP_MX_ADDRESS_LIMIT, LMTP_MX_ADDRESS_LIMIT)),
            session_limit: count(by_protocol!(int, SMTP_MX_SESSION_LIMIT, LMTP_MX_SESSION_LIMIT)),
            randomize_addresses: by_protocol!(bool, SMTP_RANDOMIZE_ADDRESSES, LMTP_RANDOMIZE_ADDRESSES),
            dns_enabled: dns_enabled(&dns_level, config)?,
            native_lookup: mail_text::list::words(&lookup).any(|word| word == "native"),
            ignore_mx_lookup_error: config.bool(param::IGNORE_MX_LOOKUP_ERROR)?,
            defer_if_no_mx_address_found: config.bool(param::SMTP_DEFER_IF_NO_MX_ADDRESS_FOUND)?,
            prefer_v6: match by_protocol!(str, SMTP_ADDRESS_PREFERENCE, LMTP_ADDRESS_PREFERENCE).as_str() {
                "ipv6" => Some(true),
                "ipv4" => Some(false),
                _ => None,
            },
            address_kinds: kinds,
            own_addresses: host_resolve::own_addresses(config)?,
            resolver: Resolver::from_file(Path::new("/etc/resolv.conf")),
            bind_v4: by_protocol!(str, SMTP_BIND_ADDRESS, LMTP_BIND_ADDRESS).parse().ok(),
            bind_v6: by_protocol!(str, SMTP_BIND_ADDRESS6, LMTP_BIND_ADDRESS6).parse().ok(),
            line_length_limit: count(by_protocol!(int, SMTP_LINE_LENGTH_LIMIT, LMTP_LINE_LENGTH_LIMIT)),
            quote_envelope: by_protocol!(bool, SMTP_QUOTE_RFC821_ENVELOPE, LMTP_QUOTE_RFC821_ENVELOPE),
            send_xforward: by_protocol!(bool, SMTP_SEND_XFORWARD_COMMAND, LMTP_SEND_XFORWARD_COMMAND),
            keep_encoding: config.bool(param::DISABLE_MIME_OUTPUT_CONVERSION)?,
            dummy_mail_auth: by_protocol!(bool, SMTP_SEND_DUMMY_MAIL_AUTH, LMTP_SEND_DUMMY_MAIL_AUTH),
            tls: tls_level(&by_protocol!(str, SMTP_TLS_SECURITY_LEVEL, LMTP_TLS_SECURITY_LEVEL)),
            log_tls: by_protocol!(bool, SMTP_LOG_TLS_FEATURE_STATUS, LMTP_LOG_TLS_FEATURE_STATUS),
            cache_on_demand: by_protocol!(
                bool,
                SMTP_CONNECTION_CACHE_ON_DEMAND,
                LMTP_CONNECTION_CACHE_ON_DEMAND
            ),
            cache_destinations: list(by_protocol!(
                str,
                SMTP_CONNECTION_CACHE_DESTINATIONS,
                LMTP_CONNECTION_CACHE_DESTINATIONS
            )),
            skip_quit_response: by_protocol!(bool, SMTP_SKIP_QUIT_RESPONSE, LMTP_SKIP_QUIT_RESPONSE),
            // A server can only err in the protocol.
            notice_classes: ErrorClasses::parse(&config.notify_classes()?)
                .common(ErrorClasses::of(ErrorClass::Protocol)),
            generic: Generic::open(config, tables, lmtp)?,
            postmaster: Postmaster::from_config(config)?,
            mime_limits: mime_limits(config)?,
            timeouts: Timeouts::new(config, lmtp)?,
        })
    }

    /// The first table that has changed since it was opened.
    pub fn changed(&self) -> Option<String> {
        self.generic.as_ref().and_then(Generic::changed).or_else(|| self.discard_ehlo.changed())
    }

    /// Whether `inet_protocols` has the family of this address.
    pub fn accepts_family(&self, address: IpAddr) -> bool {
        self.address_kinds.contains(if address.is_ipv4() { &Kind::A } else { &Kind::Aaaa })
    }
}

fn count(number: i64) -> usize {
    usize::try_from(number).unwrap_or(0)
}

pub(crate) fn mime_limits(config: &Config) -> Result<Limits, ConfigError> {
    Ok(Limits {
        header_bytes: count(config.int(param::HEADER_SIZE_LIMIT)?),
        boundary_bytes: count(config.int(param::MIME_BOUNDARY_LENGTH_LIMIT)?),
        nesting: count(config.int(param::MIME_NESTING_LIMIT)?),
        structure: true,
    })
}

fn tls_level(text: &str) -> TlsLevel {
    match text {
        "" | "none" => TlsLevel::None,
        "may" => TlsLevel::May,
        _ => TlsLevel::Required,
    }
}

/// `smtp_dns_support_level`: empty follows the obsolete `disable_dns_lookups`.
fn dns_enabled(level: &str, config: &Config) -> Result<bool, ConfigError> {
    Ok(match level {
        "" => !config.bool(param::DISABLE_DNS_LOOKUPS)?,
        level => level != "disabled",
    })
}

fn address_kinds(protocols: &str) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for word in mail_text::list::words(protocols) {
        match word {
            "ipv4" => kinds.push(Kind::A),
            "ipv6" => kinds.push(Kind::Aaaa),
            "all" => kinds.extend([Kind::Aaaa, Kind::A]),
            _ => {}
        }
    }
    kinds.dedup();
    kinds
}
