//! What virtual(8) needs from main.cf.

use host_config::param;
use host_daemon::{Error, Startup};
use host_delivery::Context;
use host_delivery::mailbox::LockStyle;
use host_tables::{Flags, Kind, Maps, MatchList, TableContext};
use mail_lookup::LookupError;

pub(crate) struct Settings {
    pub(crate) base: String,
    pub(crate) mailboxes: Maps,
    pub(crate) uids: Maps,
    pub(crate) gids: Maps,
    pub(crate) minimum_uid: u32,
    pub(crate) locks: LockStyle,
    pub(crate) strict_ownership: bool,
    pub(crate) owner_request_special: bool,
    origin: String,
    destinations: MatchList,
}

impl Settings {
    pub(crate) fn read(startup: &Startup) -> Result<(Context, Self), Error> {
        let config = &startup.config;
        let tables = TableContext::new(config)?;
        let context = Context::new(startup, &tables, param::VIRTUAL_DELIVERY_STATUS_FILTER)?;
        let maps = |name: param::Str| -> Result<Maps, Error> {
            Ok(Maps::open(name.name(), &config.str(name)?, Flags::PARANOID, &tables))
        };
        let locks = LockStyle::parse(
            &config.str(param::VIRTUAL_MAILBOX_LOCK)?,
            u32::try_from(config.int(param::DELIVER_LOCK_ATTEMPTS)?)?,
            config.time(param::DELIVER_LOCK_DELAY)?,
            config.time(param::STALE_LOCK_TIME)?,
        );
        let limit = config.long(param::VIRTUAL_MAILBOX_LIMIT)?;
        let message_limit = config.long(param::MESSAGE_SIZE_LIMIT)?;
        if limit > 0 && (message_limit == 0 || limit < message_limit) {
            return Err(
                "main.cf configuration error: virtual_mailbox_limit is smaller than message_size_limit"
                    .into(),
            );
        }
        if limit > 0 {
            os_sys::process::limit_file_size(limit.unsigned_abs())?;
        }
        let settings = Self {
            base: config.str(param::VIRTUAL_MAILBOX_BASE)?,
            mailboxes: maps(param::VIRTUAL_MAILBOX_MAPS)?,
            uids: maps(param::VIRTUAL_UID_MAPS)?,
            gids: maps(param::VIRTUAL_GID_MAPS)?,
            minimum_uid: u32::try_from(config.int(param::VIRTUAL_MINIMUM_UID)?)?,
            locks: locks.map_err(|word| format!("unknown virtual_mailbox_lock value \"{word}\""))?,
            strict_ownership: config.bool(param::STRICT_MAILBOX_OWNERSHIP)?,
            owner_request_special: config.bool(param::OWNER_REQUEST_SPECIAL)?,
            origin: config.str(param::MYORIGIN)?,
            destinations: MatchList::parse(
                param::MYDESTINATION.name(),
                &config.str(param::MYDESTINATION)?,
                Kind::Strings,
                false,
                &tables,
            ),
        };
        Ok((context, settings))
    }

    /// Whether bare local parts may stand for addresses of this domain.
    pub(crate) fn is_local(&self, domain: &str) -> Result<bool, LookupError> {
        Ok(domain.eq_ignore_ascii_case(&self.origin) || self.destinations.matches_string(domain)?)
    }

    pub(crate) fn changed(&self) -> Option<String> {
        let maps = [&self.mailboxes, &self.uids, &self.gids];
        maps.into_iter().find_map(Maps::changed).or_else(|| self.destinations.changed())
    }
}
