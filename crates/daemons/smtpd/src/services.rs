//! What all sessions share: parameters, tables, clients of other daemons.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use engine_restrict::{Class, Map, Policy, Probe, Resolved, has_safe_recipient_list};
use host_config::{Config, param as p};
use host_daemon::{Error, Startup};
use host_delivery::postmaster::Postmaster;
use host_resolve::{AddressClass, AddressService, ResolveError};
use host_tables::{Flags, Kind, Maps, MatchList, Table, TableContext};
use mail_lookup::{AddressSearch, Lookup, LookupError, find_address};
use mail_text::date::LocalTime;
use proto_ipc::cleanup::flags;
use proto_ipc::{Connection, Dialect, Format};
use proto_smtp::server::{BareNewline, Keywords, Settings};

use crate::anvil::Anvil;
use crate::connect::NameCache;
use crate::quick::Quick;
use crate::settings;

/// Limits that anvil watches; 0: none.
pub(crate) struct Limits {
    pub connections: i64,
    pub connection_rate: i64,
    pub messages: i64,
    pub recipients: i64,
}

impl Limits {
    pub const fn any(&self) -> bool {
        self.connections > 0 || self.connection_rate > 0 || self.messages > 0 || self.recipients > 0
    }
}

/// The fixed tables of recipient validation.
struct Tables {
    recipient_canonical: Maps,
    sender_canonical: Maps,
    canonical: Maps,
    virtual_alias: Maps,
    local_recipient: Maps,
    virtual_mailbox: Maps,
    relay_recipient: Maps,
}

impl Tables {
    fn open(config: &Config, context: &TableContext) -> Result<Self, Error> {
        let maps = |name: &str, parameter: p::Str| -> Result<Maps, Error> {
            Ok(Maps::open(name, &config.str(parameter)?, Flags::default(), context))
        };
        Ok(Self {
            recipient_canonical: maps("recipient_canonical_maps", p::RECIPIENT_CANONICAL_MAPS)?,
            sender_canonical: maps("sender_canonical_maps", p::SENDER_CANONICAL_MAPS)?,
            canonical: maps("canonical_maps", p::CANONICAL_MAPS)?,
            virtual_alias: maps("virtual_alias_maps", p::VIRTUAL_ALIAS_MAPS)?,
            local_recipient: maps("local_recipient_maps", p::LOCAL_RECIPIENT_MAPS)?,
            virtual_mailbox: maps("virtual_mailbox_maps", p::VIRTUAL_MAILBOX_MAPS)?,
            relay_recipient: maps("relay_recipient_maps", p::RELAY_RECIPIENT_MAPS)?,
        })
    }
}

impl Limits {
    fn read(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            connections: count(config, p::SMTPD_CLIENT_CONNECTION_COUNT_LIMIT)?,
            connection_rate: count(config, p::SMTPD_CLIENT_CONNECTION_RATE_LIMIT)?,
            messages: count(config, p::SMTPD_CLIENT_MESSAGE_RATE_LIMIT)?,
            recipients: count(config, p::SMTPD_CLIENT_RECIPIENT_RATE_LIMIT)?,
        })
    }
}

/// Shared by all sessions of the process.
pub(crate) struct Services {
    pub settings: Arc<Settings>,
    /// `address_verify_sender`, complete, without stamp.
    pub probe_sender: String,
    /// `address_verify_sender_ttl`
    pub probe_sender_ttl: Duration,
    pub policy: Policy,
    pub standalone: bool,
    pub service_name: String,
    pub mail_name: String,
    pub peername_lookup: bool,
    pub names: NameCache,
    pub bare_newline: BareNewline,
    pub bare_newline_exclusions: MatchList,
    pub xclient_hosts: MatchList,
    pub xforward_hosts: MatchList,
    pub verp_clients: MatchList,
    pub mynetworks: MatchList,
    pub limit_exceptions: MatchList,
    pub discard_ehlo: Keywords,
    pub discard_ehlo_maps: Maps,
    pub limits: Limits,
    pub anvil: Anvil,
    pub classes: HashMap<String, String>,
    pub rewrite_clients: Vec<String>,
    pub own_addresses: Vec<IpAddr>,
    pub resolver: proto_dns::Resolver,
    pub cleanup_path: PathBuf,
    pub cleanup_flags: i32,
    pub content_filter: String,
    pub hide_client: bool,
    pub strict_smtputf8: bool,
    pub command_directory: PathBuf,
    pub config_directory: PathBuf,
    pub format: Format,
    /// Who hears of errors.
    pub postmaster: Postmaster,
    pub ipc_timeout: Duration,
    /// Which decisions ask no other server.
    pub quick: Quick,
    prefixes: (u32, u32),
    queue_minfree: u64,
    flush_path: PathBuf,
    verify: Verifier,
    addresses: AddressService,
    tables: Tables,
    access: RwLock<HashMap<String, Arc<dyn Lookup>>>,
    context: TableContext,
    delimiters: String,
    owner_request_special: bool,
    date: Mutex<(u64, Arc<str>)>,
}

/// The address verification client.
struct Verifier {
    path: PathBuf,
    polls: u32,
    delay: Duration,
}

/// The time zone's idea of now.
pub(crate) fn local_time() -> LocalTime {
    host_delivery::envelope::local_time(os_sys::time::now())
}

fn count(config: &Config, parameter: p::Int) -> Result<i64, Error> {
    Ok(config.int(parameter)?)
}

impl Services {
    /// Reads parameters and opens tables.
    // One line a field.
    #[allow(clippy::too_many_lines)]
    pub fn new(startup: &mut Startup) -> Result<Self, Error> {
        let config = &startup.config;
        let context = TableContext::new(config)?;
        let policy = settings::policy(config)?;
        let classes = classes(config)?;
        check_lists(&policy, &classes, startup.standalone)?;
        refuse_unsupported(config)?;
        let hosts = |name: &str, parameter: p::Str| -> Result<MatchList, Error> {
            let style = settings::parent_style(config, name)?;
            Ok(MatchList::parse(name, &config.str(parameter)?, Kind::Addresses, style, &context))
        };
        let maps = |name: &str, parameter: p::Str| -> Result<Maps, Error> {
            Ok(Maps::open(name, &config.str(parameter)?, Flags::default(), &context))
        };
        let dialect = Dialect::from_name(&config.str(p::POSTINO_IPC_DIALECT)?).unwrap_or_default();
        let ipc_timeout = config.time(p::IPC_TIMEOUT)?;
        let private = |name: String| Path::new("private").join(name);
        let services = Self {
            settings: Arc::new(settings::session(config, &context, startup.standalone)?),
            standalone: startup.standalone,
            service_name: startup.service_name.clone(),
            mail_name: config.str(p::MAIL_NAME)?,
            peername_lookup: config.bool(p::SMTPD_PEERNAME_LOOKUP)?,
            bare_newline: bare_newline(&config.str(p::SMTPD_FORBID_BARE_NEWLINE)?)?,
            bare_newline_exclusions: hosts(
                "smtpd_forbid_bare_newline_exclusions",
                p::SMTPD_FORBID_BARE_NEWLINE_EXCLUSIONS,
            )?,
            xclient_hosts: hosts("smtpd_authorized_xclient_hosts", p::SMTPD_AUTHORIZED_XCLIENT_HOSTS)?,
            xforward_hosts: hosts("smtpd_authorized_xforward_hosts", p::SMTPD_AUTHORIZED_XFORWARD_HOSTS)?,
            verp_clients: hosts("smtpd_authorized_verp_clients", p::SMTPD_AUTHORIZED_VERP_CLIENTS)?,
            mynetworks: hosts("mynetworks", p::MYNETWORKS)?,
            limit_exceptions: hosts(
                "smtpd_client_event_limit_exceptions",
                p::SMTPD_CLIENT_EVENT_LIMIT_EXCEPTIONS,
            )?,
            discard_ehlo: Keywords::parse(&config.str(p::SMTPD_DISCARD_EHLO_KEYWORDS)?),
            discard_ehlo_maps: maps(
                "smtpd_discard_ehlo_keyword_address_maps",
                p::SMTPD_DISCARD_EHLO_KEYWORD_ADDRESS_MAPS,
            )?,
            limits: Limits::read(config)?,
            anvil: Anvil::new(private("anvil".into()), ipc_timeout),
            rewrite_clients: mail_text::list::words(&config.str(p::LOCAL_HEADER_REWRITE_CLIENTS)?)
                .map(str::to_owned)
                .collect(),
            own_addresses: config.own_interfaces()?.into_iter().map(|(ip, _)| ip).collect(),
            resolver: proto_dns::Resolver::from_file(Path::new("/etc/resolv.conf")),
            cleanup_path: Path::new("public").join(config.str(p::CLEANUP_SERVICE_NAME)?),
            cleanup_flags: cleanup_flags(&config.str(p::RECEIVE_OVERRIDE_OPTIONS)?),
            content_filter: config.str(p::CONTENT_FILTER)?,
            hide_client: config.bool(p::SMTPD_HIDE_CLIENT_SESSION)?,
            strict_smtputf8: config.bool(p::STRICT_SMTPUTF8)?,
            command_directory: config.str(p::COMMAND_DIRECTORY)?.into(),
            config_directory: config.dir().to_owned(),
            format: Format::null(dialect),
            postmaster: Postmaster::from_config(config)?,
            ipc_timeout,
            quick: Quick::new(config, &policy, &classes)?,
            prefixes: (
                u32::try_from(config.int(p::SMTPD_CLIENT_IPV4_PREFIX_LENGTH)?).unwrap_or(32),
                u32::try_from(config.int(p::SMTPD_CLIENT_IPV6_PREFIX_LENGTH)?).unwrap_or(128),
            ),
            queue_minfree: u64::try_from(config.long(p::QUEUE_MINFREE)?).unwrap_or(0),
            flush_path: Path::new("public").join(config.str(p::FLUSH_SERVICE_NAME)?),
            verify: Verifier {
                path: private(config.str(p::ADDRESS_VERIFY_SERVICE_NAME)?),
                polls: u32::try_from(config.int(p::ADDRESS_VERIFY_POLL_COUNT)?).unwrap_or(1),
                delay: config.time(p::ADDRESS_VERIFY_POLL_DELAY)?,
            },
            names: NameCache::default(),
            addresses: AddressService::from_config(config, &context)?,
            tables: Tables::open(config, &context)?,
            access: RwLock::default(),
            delimiters: config.str(p::RECIPIENT_DELIMITER)?,
            owner_request_special: config.bool(p::OWNER_REQUEST_SPECIAL)?,
            date: Mutex::new((0, Arc::from(""))),
            probe_sender: settings::probe_sender(config)?,
            probe_sender_ttl: config.time(p::ADDRESS_VERIFY_SENDER_TTL)?,
            policy: with_overrides(policy, &config.str(p::RECEIVE_OVERRIDE_OPTIONS)?),
            classes,
            context,
        };
        services.open_access_tables();
        Ok(services)
    }

    /// Opens the tables that lists and classes name while this is still outside the chroot jail.
    fn open_access_tables(&self) {
        let policy = &self.policy;
        let lists = [
            &policy.client,
            &policy.helo,
            &policy.sender,
            &policy.relay,
            &policy.recipient,
            &policy.etrn,
            &policy.data,
            &policy.end_of_data,
        ];
        let classes: Vec<_> = self.classes.values().map(|text| engine_restrict::List::parse(text)).collect();
        for list in lists.into_iter().chain(&classes) {
            for word in list.words().iter().filter(|word| is_table(word)) {
                self.access_table(word);
            }
        }
    }

    /// An access table, opened when first asked for.
    pub fn access_table(&self, spec: &str) -> Arc<dyn Lookup> {
        if let Some(table) = self.access.read().unwrap_or_else(PoisonError::into_inner).get(spec) {
            return Arc::clone(table);
        }
        let table = Table::open_or_placeholder(spec, Flags::default(), &self.context);
        let mut tables = self.access.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tables.entry(spec.to_owned()).or_insert(table))
    }

    /// The table list with this meaning.
    pub const fn maps(&self, map: Map) -> &Maps {
        match map {
            Map::RecipientCanonical => &self.tables.recipient_canonical,
            Map::SenderCanonical => &self.tables.sender_canonical,
            Map::Canonical => &self.tables.canonical,
            Map::VirtualAlias => &self.tables.virtual_alias,
            Map::LocalRecipient => &self.tables.local_recipient,
            Map::VirtualMailbox => &self.tables.virtual_mailbox,
            Map::RelayRecipient => &self.tables.relay_recipient,
        }
    }

    /// An address in one of the fixed tables.
    pub fn find(&self, map: Map, address: &str) -> Result<Option<String>, LookupError> {
        let domain = mail_address::split(address).1.unwrap_or("");
        let search = AddressSearch {
            delimiters: &self.delimiters,
            owner_request_special: self.owner_request_special,
            domain_is_local: self.addresses.is_local_domain(domain)?,
        };
        Ok(find_address(self.maps(map), address, &search)?.map(|(value, _)| value))
    }

    /// Whether this is the sender of address verification probes, without stamp or with one of about now.
    pub fn is_probe_sender(&self, address: &str) -> bool {
        let now = os_sys::time::now().as_secs();
        let period = mail_address::probe::period(now, self.probe_sender_ttl.as_secs());
        mail_address::probe::is_sender(address, &self.probe_sender, period)
    }

    /// Resolves an address as a recipient, after cleanup would have completed it.
    pub fn resolve(&self, address: &str) -> Resolved {
        let completed = self.addresses.rewrite_internal(address);
        let failed = completed.is_err();
        let found = self.addresses.resolve("", &completed.unwrap_or_else(|_| address.to_owned()), false);
        Resolved {
            transport: found.transport,
            nexthop: found.nexthop,
            recipient: found.recipient,
            class: match found.class {
                Some(AddressClass::Local) => Class::Local,
                Some(AddressClass::VirtualAlias) => Class::VirtualAlias,
                Some(AddressClass::VirtualMailbox) => Class::VirtualMailbox,
                Some(AddressClass::Relay) => Class::Relay,
                Some(AddressClass::Default) | None => Class::Default,
            },
            routed: found.routed,
            bad: found.error == Some(ResolveError::Bad),
            failed: failed || found.error == Some(ResolveError::Fail),
        }
    }

    /// Asks the verification service until it knows or patience ends.
    pub fn verify(&self, address: &str) -> Probe {
        let mut last = Probe::Down;
        for poll in 0..self.verify.polls {
            if poll > 0 {
                std::thread::sleep(self.verify.delay);
            }
            match self.query_verify(address) {
                Err(error) => {
                    os_log::warning!("problem talking to service {}: {error}", self.verify.path.display());
                    return Probe::Down;
                }
                Ok(reply) if reply.status != 0 => return Probe::Down,
                Ok(reply) => match reply.recipient_status {
                    proto_ipc::verify::OK => return Probe::Deliverable,
                    proto_ipc::verify::BOUNCE => return Probe::Undeliverable(reply.reason),
                    proto_ipc::verify::DEFER => return Probe::Deferred(reply.reason),
                    _ => last = Probe::Deferred(reply.reason),
                },
            }
        }
        last
    }

    fn query_verify(&self, address: &str) -> Result<proto_ipc::verify::QueryReply, proto_ipc::Error> {
        let mut connection = Connection::connect(&self.verify.path, self.format, self.ipc_timeout)?;
        connection.expect_announcement(proto_ipc::verify::PROTOCOL)?;
        connection
            .send(&proto_ipc::verify::Query { request: "query".into(), address: address.to_owned() })?;
        connection.flush()?;
        connection.receive()
    }

    /// ETRN: asks the flush service; its status, or FAIL.
    pub fn flush_site(&self, site: &str) -> i32 {
        let ask = || -> Result<i32, proto_ipc::Error> {
            let mut connection = Connection::connect(&self.flush_path, self.format, self.ipc_timeout)?;
            connection.expect_announcement(proto_ipc::flush::PROTOCOL)?;
            connection
                .send(&proto_ipc::flush::SendSite { request: "send_site".into(), site: site.to_owned() })?;
            connection.flush()?;
            Ok(connection.receive::<proto_ipc::StatusReply>()?.status)
        };
        ask().unwrap_or_else(|error| {
            os_log::warning!("problem talking to service {}: {error}", self.flush_path.display());
            proto_ipc::flush::FAIL
        })
    }

    /// The name under which anvil counts a client.
    pub fn ident(&self, address: &str) -> String {
        format!(
            "{}:{}",
            self.service_name,
            crate::envelope::network(address, self.prefixes.0, self.prefixes.1)
        )
    }

    /// Room for one more message of the greatest size (`postconf(5) queue_minfree`).
    pub fn has_space(&self) -> bool {
        let Ok(volume) = nix::sys::statvfs::statvfs(".") else { return true };
        #[allow(clippy::unnecessary_cast)] // the width of these fields differs between systems
        let free = (volume.blocks_available() as u64).saturating_mul(volume.fragment_size() as u64);
        let limit = self.settings.message_size_limit;
        free >= self.queue_minfree && free >= limit.saturating_add(limit / 2)
    }

    /// The date of a header; made once a second.
    pub fn date(&self) -> Arc<str> {
        let now = os_sys::time::now().as_secs();
        let mut held = self.date.lock().unwrap_or_else(PoisonError::into_inner);
        if held.0 != now {
            *held = (now, Arc::from(local_time().header()));
        }
        Arc::clone(&held.1)
    }

    /// The first table whose source has changed.
    pub fn changed(&self) -> Option<String> {
        let fixed = &self.tables;
        [
            &fixed.recipient_canonical,
            &fixed.sender_canonical,
            &fixed.canonical,
            &fixed.virtual_alias,
            &fixed.local_recipient,
            &fixed.virtual_mailbox,
            &fixed.relay_recipient,
            &self.discard_ehlo_maps,
        ]
        .into_iter()
        .find_map(Maps::changed)
        .or_else(|| self.addresses.changed())
        .or_else(|| {
            let tables = self.access.read().unwrap_or_else(PoisonError::into_inner);
            tables.values().find(|table| table.changed()).map(|table| table.name().to_owned())
        })
    }
}

pub(crate) fn is_table(word: &str) -> bool {
    word.split_once(':').is_some_and(|(kind, name)| {
        !kind.is_empty() && !name.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}

/// The restriction classes that have a value.
fn classes(config: &Config) -> Result<HashMap<String, String>, Error> {
    let names = config.str(p::SMTPD_RESTRICTION_CLASSES)?;
    let mut classes = HashMap::new();
    for name in mail_text::list::words(&names) {
        classes.insert(name.to_owned(), config.user_value(name)?.unwrap_or_default());
    }
    Ok(classes)
}

fn check_lists(policy: &Policy, classes: &HashMap<String, String>, standalone: bool) -> Result<(), Error> {
    if standalone
        || has_safe_recipient_list(&[&policy.relay, &policy.recipient], &|name| classes.get(name).cloned())
    {
        return Ok(());
    }
    Err("in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at least one working instance of: reject_unauth_destination, defer_unauth_destination, reject, defer, defer_if_permit or check_relay_domains".into())
}

/// Filters that would be bypassed are refused; extensions that are not offered are only noted.
fn refuse_unsupported(config: &Config) -> Result<(), Error> {
    for (name, parameter) in
        [("smtpd_proxy_filter", p::SMTPD_PROXY_FILTER), ("smtpd_milters", p::SMTPD_MILTERS)]
    {
        if !config.str(parameter)?.is_empty() {
            return Err(format!(
                "{name} is not supported by this version; mail would pass without its filter"
            )
            .into());
        }
    }
    let level = config.str(p::SMTPD_TLS_SECURITY_LEVEL)?;
    if level == "encrypt" || config.bool(p::SMTPD_ENFORCE_TLS)? || config.bool(p::SMTPD_TLS_WRAPPERMODE)? {
        return Err("TLS is required by the configuration, and not supported by this version".into());
    }
    if !matches!(level.as_str(), "" | "none") {
        os_log::warning!(
            "smtpd_tls_security_level = {level}: STARTTLS is not supported by this version and not offered"
        );
    }
    if config.bool(p::SMTPD_SASL_AUTH_ENABLE)? {
        os_log::warning!(
            "smtpd_sasl_auth_enable = yes: AUTH is not supported by this version and not offered"
        );
    }
    Ok(())
}

fn bare_newline(text: &str) -> Result<BareNewline, Error> {
    match text.to_ascii_lowercase().as_str() {
        "normalize" | "yes" => Ok(BareNewline::Normalize),
        "note" => Ok(BareNewline::Note),
        "reject" => Ok(BareNewline::Reject),
        "no" => Ok(BareNewline::Allow),
        _ => Err(format!("bad value: smtpd_forbid_bare_newline = \"{text}\"").into()),
    }
}

fn cleanup_flags(overrides: &str) -> i32 {
    let mut all = flags::FILTER | flags::BCC | flags::MAP | flags::SMTP_REPLY;
    for word in mail_text::list::words(overrides) {
        match word.to_ascii_lowercase().as_str() {
            "no_address_mappings" => all &= !(flags::MAP | flags::BCC),
            "no_header_body_checks" => all &= !flags::FILTER,
            "no_milters" | "no_unknown_recipient_checks" => {}
            _ => os_log::warning!("unknown receive_override_options value \"{word}\" in \"{overrides}\""),
        }
    }
    all
}

fn with_overrides(mut policy: Policy, overrides: &str) -> Policy {
    if mail_text::list::words(overrides).any(|word| word.eq_ignore_ascii_case("no_unknown_recipient_checks"))
    {
        policy.reject_unlisted_recipient = false;
    }
    policy
}
