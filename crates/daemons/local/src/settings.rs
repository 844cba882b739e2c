//! What local(8) needs from main.cf.

use std::ffi::OsString;
use std::time::Duration;

use host_config::{Config, param};
use host_daemon::{Error, Startup};
use host_delivery::Context;
use host_delivery::mailbox::LockStyle;
use host_resolve::AddressService;
use host_tables::{Flags, Maps, TableContext};
use mail_text::list;
use os_sys::identity::{self, Identity};

use crate::state::{Source, Sources};

#[expect(clippy::struct_excessive_bools, reason = "one for each yes/no parameter")]
pub(crate) struct Settings {
    pub(crate) addresses: AddressService,
    pub(crate) alias_maps: Maps,
    pub(crate) mailbox_command_maps: Maps,
    pub(crate) mailbox_transport_maps: Maps,
    pub(crate) fallback_transport_maps: Maps,
    pub(crate) mailbox_command: String,
    pub(crate) mailbox_transport: String,
    pub(crate) fallback_transport: String,
    pub(crate) luser_relay: String,
    pub(crate) home_mailbox: String,
    pub(crate) mail_spool_directory: String,
    pub(crate) forward_path: String,
    pub(crate) forward_filter: String,
    pub(crate) command_filter: String,
    pub(crate) directory_filter: String,
    pub(crate) command_directory: String,
    pub(crate) command_time_limit: Duration,
    pub(crate) shell: String,
    pub(crate) exported: Vec<(OsString, OsString)>,
    pub(crate) origin: String,
    pub(crate) commands_allowed: Sources,
    pub(crate) files_allowed: Sources,
    pub(crate) prepend: Prepend,
    pub(crate) propagate_alias: bool,
    pub(crate) propagate_forward: bool,
    pub(crate) propagate_include: bool,
    pub(crate) owner_request_special: bool,
    pub(crate) expand_owner_alias: bool,
    pub(crate) reset_owner_alias: bool,
    pub(crate) frozen_delivered_to: bool,
    pub(crate) require_home_directory: bool,
    pub(crate) strict_ownership: bool,
    pub(crate) biff: bool,
    pub(crate) locks: LockStyle,
    pub(crate) duplicate_limit: usize,
    /// Who runs commands and writes files of aliases that root owns.
    pub(crate) default_identity: Identity,
}

/// Where `Delivered-To:` goes (`prepend_delivered_header`).
#[derive(Clone, Copy)]
pub(crate) struct Prepend {
    pub(crate) command: bool,
    pub(crate) file: bool,
    pub(crate) forward: bool,
}

impl Settings {
    pub(crate) fn read(startup: &Startup, root: bool) -> Result<(Context, Self), Error> {
        let config = &startup.config;
        let tables = TableContext::new(config)?;
        let context = Context::new(startup, &tables, param::LOCAL_DELIVERY_STATUS_FILTER)?;
        let maps = |name: param::Str, flags: Flags| -> Result<Maps, Error> {
            Ok(Maps::open(name.name(), &config.str(name)?, flags, &tables))
        };
        let has = |name: param::Str, word: &str| -> Result<bool, Error> {
            Ok(list::words(&config.str(name)?).any(|other| other.eq_ignore_ascii_case(word)))
        };
        let propagate = param::PROPAGATE_UNMATCHED_EXTENSIONS;
        limit_files(config)?;
        let settings = Self {
            addresses: AddressService::from_config(config, &tables)?,
            alias_maps: maps(param::ALIAS_MAPS, Flags::PARANOID)?,
            mailbox_command_maps: maps(param::MAILBOX_COMMAND_MAPS, Flags::PARANOID)?,
            mailbox_transport_maps: maps(param::MAILBOX_TRANSPORT_MAPS, Flags::NO_REGSUB)?,
            fallback_transport_maps: maps(param::FALLBACK_TRANSPORT_MAPS, Flags::NO_REGSUB)?,
            mailbox_command: config.raw(param::MAILBOX_COMMAND)?,
            mailbox_transport: config.str(param::MAILBOX_TRANSPORT)?,
            fallback_transport: config.str(param::FALLBACK_TRANSPORT)?,
            luser_relay: config.raw(param::LUSER_RELAY)?,
            home_mailbox: config.str(param::HOME_MAILBOX)?,
            mail_spool_directory: config.str(param::MAIL_SPOOL_DIRECTORY)?,
            forward_path: config.raw(param::FORWARD_PATH)?,
            forward_filter: config.str(param::FORWARD_EXPANSION_FILTER)?,
            command_filter: config.str(param::COMMAND_EXPANSION_FILTER)?,
            directory_filter: config.str(param::EXECUTION_DIRECTORY_EXPANSION_FILTER)?,
            command_directory: config.raw(param::COMMAND_EXECUTION_DIRECTORY)?,
            command_time_limit: config.time(param::COMMAND_TIME_LIMIT)?,
            shell: config.str(param::LOCAL_COMMAND_SHELL)?,
            exported: host_delivery::command::exported(&config.str(param::EXPORT_ENVIRONMENT)?),
            origin: config.str(param::MYORIGIN)?,
            commands_allowed: Sources::parse(config, param::ALLOW_MAIL_TO_COMMANDS)?,
            files_allowed: Sources::parse(config, param::ALLOW_MAIL_TO_FILES)?,
            prepend: Prepend {
                command: has(param::PREPEND_DELIVERED_HEADER, "command")?,
                file: has(param::PREPEND_DELIVERED_HEADER, "file")?,
                forward: has(param::PREPEND_DELIVERED_HEADER, "forward")?,
            },
            propagate_alias: has(propagate, Source::Alias.word())?,
            propagate_forward: has(propagate, Source::Forward.word())?,
            propagate_include: has(propagate, Source::Include.word())?,
            owner_request_special: config.bool(param::OWNER_REQUEST_SPECIAL)?,
            expand_owner_alias: config.bool(param::EXPAND_OWNER_ALIAS)?,
            reset_owner_alias: config.bool(param::RESET_OWNER_ALIAS)?,
            frozen_delivered_to: config.bool(param::FROZEN_DELIVERED_TO)?,
            require_home_directory: config.bool(param::REQUIRE_HOME_DIRECTORY)?,
            strict_ownership: config.bool(param::STRICT_MAILBOX_OWNERSHIP)?,
            biff: config.bool(param::BIFF)?,
            locks: locks(config)?,
            duplicate_limit: usize::try_from(config.int(param::DUPLICATE_FILTER_LIMIT)?).unwrap_or(0),
            default_identity: default_identity(config, root)?,
        };
        Ok((context, settings))
    }

    pub(crate) fn changed(&self) -> Option<String> {
        let maps = [
            &self.alias_maps,
            &self.mailbox_command_maps,
            &self.mailbox_transport_maps,
            &self.fallback_transport_maps,
        ];
        maps.into_iter().find_map(Maps::changed).or_else(|| self.addresses.changed())
    }
}

fn locks(config: &Config) -> Result<LockStyle, Error> {
    let style = LockStyle::parse(
        &config.str(param::MAILBOX_DELIVERY_LOCK)?,
        u32::try_from(config.int(param::DELIVER_LOCK_ATTEMPTS)?)?,
        config.time(param::DELIVER_LOCK_DELAY)?,
        config.time(param::STALE_LOCK_TIME)?,
    );
    Ok(style.map_err(|word| format!("unknown mailbox_delivery_lock value \"{word}\""))?)
}

fn limit_files(config: &Config) -> Result<(), Error> {
    let limit = config.long(param::MAILBOX_SIZE_LIMIT)?;
    let message_limit = config.long(param::MESSAGE_SIZE_LIMIT)?;
    if limit <= 0 {
        return Ok(());
    }
    if message_limit == 0 || limit < message_limit {
        return Err(
            "main.cf configuration error: mailbox_size_limit is smaller than message_size_limit".into()
        );
    }
    Ok(os_sys::process::limit_file_size(limit.unsigned_abs())?)
}

/// `default_privs`; an ordinary user can only be itself.
fn default_identity(config: &Config, root: bool) -> Result<Identity, Error> {
    if !root {
        let uid = identity::effective_uid();
        let user = identity::user_by_uid(uid)?;
        let gid = user.as_ref().map_or(nix::unistd::getegid().as_raw(), |user| user.gid);
        return Ok(Identity { name: user.map(|user| user.name), uid, gid });
    }
    let name = config.str(param::DEFAULT_PRIVS)?;
    let user = identity::user_by_name(&name)?
        .ok_or_else(|| format!("default_privs: unknown user name value: {name}"))?;
    Ok(Identity { name: Some(user.name), uid: user.uid, gid: user.gid })
}
