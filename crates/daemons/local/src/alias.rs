//! `alias_maps` (`aliases(5)`).

use engine_expand::{Target, targets};
use host_delivery::Disposition;
use mail_lookup::{LookupError, MapsLookup, Owner};
use mail_status::{Action, Detail, Dsn, Notify};
use os_sys::identity::user_by_uid;

use crate::state::{Rights, Source, State};
use crate::trip::{NESTING_LIMIT, Trip};

/// What an alias table said.
struct Entry {
    name: String,
    value: String,
    table: String,
    owner: Owner,
    /// The name is the user without the extension.
    without_extension: bool,
}

impl Trip<'_> {
    /// Expands an alias. `None`: there is none, or it is the one being expanded.
    pub(crate) fn alias(&mut self, state: &State) -> Option<Disposition> {
        let entry = match self.find_alias(state) {
            Ok(entry) => entry?,
            Err(disposition) => return Some(disposition),
        };
        // As the reference, which forgets the first one: it is found at its second turn.
        let repeated = state.aliases.iter().skip(1).any(|alias| *alias == entry.name);
        if state.aliases.len() > NESTING_LIMIT || repeated {
            let text = format!("alias database loop for {}", entry.name);
            os_log::warning!("{text}");
            return Some(self.fail(state, Dsn::new(5, 4, 6), text));
        }
        let members = targets(&entry.value);
        if members.is_empty() {
            os_log::warning!("no recipient in alias lookup result for {}", entry.name);
            return Some(self.fail(state, Dsn::new(4, 3, 0), "alias database unavailable"));
        }
        let rights = match self.alias_rights(state, &entry) {
            Ok(rights) => rights,
            Err(disposition) => return Some(disposition),
        };
        if self.job.is_verify_probe() {
            return Some(self.sent(state, format!("aliased to {}", entry.value)));
        }
        let mut inner = state.clone();
        inner.rights = rights;
        inner.source = Source::Alias;
        inner.aliases.push(entry.name.clone());
        inner.unmatched = if entry.without_extension && self.agent.settings.propagate_alias {
            state.whole_extension()
        } else {
            String::new()
        };
        if !self.agent.settings.frozen_delivered_to {
            inner.delivered.clone_from(&state.recipient.recipient);
        }
        let owned = match self.take_owner(&mut inner, &entry.name) {
            Ok(owned) => owned,
            Err(disposition) => return Some(disposition),
        };
        if !self.note_expansion(state, &mut inner, owned) {
            return Some(self.fail(state, Dsn::new(4, 3, 0), "trace service failure"));
        }
        Some(self.targets(&inner, members))
    }

    /// The full local part first, then the user without extension.
    fn find_alias(&mut self, state: &State) -> Result<Option<Entry>, Disposition> {
        let maps = &self.agent.settings.alias_maps;
        for (name, without_extension) in [(&state.local, false), (&state.user, true)] {
            if without_extension && *name == state.local {
                break;
            }
            if state.source == Source::Alias && state.aliases.last() == Some(name) {
                return Ok(None);
            }
            match maps.find_with_owner(name, false) {
                Ok(Some((value, table, owner))) => {
                    let name = name.clone();
                    return Ok(Some(Entry { name, value, table, owner, without_extension }));
                }
                Ok(None) => {}
                Err(error) => {
                    os_log::warning!("{}: {error}", self.queue_id());
                    return Err(self.fail(state, Dsn::new(4, 3, 0), "alias database unavailable"));
                }
            }
        }
        Ok(None)
    }

    /// Files and commands act for the owner of the table.
    fn alias_rights(&mut self, state: &State, entry: &Entry) -> Result<Rights, Disposition> {
        let uid = match entry.owner {
            Owner::Trusted | Owner::Uid(0) => return Ok(Rights::Default),
            Owner::Uid(uid) => uid,
            Owner::Unknown => u32::MAX,
        };
        match user_by_uid(uid) {
            Ok(Some(user)) => Ok(Rights::User(user)),
            Ok(None) | Err(_) => {
                os_log::warning!("cannot find alias database owner for {}", entry.table);
                Err(self.fail(state, Dsn::new(4, 3, 0), "cannot find alias database owner"))
            }
        }
    }

    /// An `owner-NAME` alias takes over as sender of what is handed back (`owner_request_special`). `true`: there is one.
    fn take_owner(&mut self, inner: &mut State, name: &str) -> Result<bool, Disposition> {
        let settings = &self.agent.settings;
        if !settings.owner_request_special {
            return Ok(false);
        }
        let owner = format!("owner-{name}");
        match settings.alias_maps.find(&owner, false) {
            Ok(Some(value)) => {
                inner.sender = self.owner_address(&owner, &value);
                inner.owner = owner;
                inner.own_envelope = true;
                inner.recipient.dsn_orig_rcpt.clear();
                inner.recipient.original_recipient.clear();
                Ok(true)
            }
            Ok(None) => {
                if settings.reset_owner_alias {
                    inner.owner.clear();
                }
                Ok(false)
            }
            Err(error) => {
                os_log::warning!("{}: {error}", self.queue_id());
                Err(self.fail(inner, Dsn::new(4, 3, 0), "alias database unavailable"))
            }
        }
    }

    /// Where mail for an owner alias with this value goes (`expand_owner_alias`).
    fn owner_address(&self, owner: &str, value: &str) -> String {
        if self.agent.settings.expand_owner_alias
            && let Some(Target::Address(address)) = targets(value).into_iter().next()
        {
            return self.canonical(&address);
        }
        self.canonical(owner)
    }

    /// The owner of the failing address at hand; `Err`: it cannot be told now. An alias that is being expanded does not
    /// hear of its own failures: its mail would go round for ever.
    pub(crate) fn owner_of(&self, state: &State) -> Result<Option<String>, LookupError> {
        let settings = &self.agent.settings;
        let owner = format!("owner-{}", state.user);
        if !settings.owner_request_special || state.aliases.contains(&owner) {
            return Ok(None);
        }
        let value = settings.alias_maps.find(&owner, false)?;
        Ok(value.map(|value| self.owner_address(&owner, &value)))
    }

    /// The internal form of an address of ours, completed with `myorigin`.
    fn canonical(&self, external: &str) -> String {
        let settings = &self.agent.settings;
        let rewritten = settings.addresses.rewrite(host_resolve::RewriteRule::Local, external);
        mail_address::to_internal(&rewritten.unwrap_or_else(|_| format!("{external}@{}", settings.origin)))
    }

    /// Who asked to hear of success hears of the expansion, and not of each member (RFC 3461 §5.2.7.3).
    fn note_expansion(&mut self, state: &State, inner: &mut State, owned: bool) -> bool {
        let notify = Notify(state.recipient.notify_flags);
        if !notify.has(Notify::SUCCESS) {
            return true;
        }
        let rest = notify.0 & !Notify::SUCCESS;
        inner.recipient.notify_flags = if rest == 0 { Notify::NEVER } else { rest };
        let action = if owned { Action::Delivered } else { Action::Expanded };
        let detail = Detail::new(Dsn::new(2, 0, 0), "alias expanded");
        self.job.trace(&state.recipient, &self.via, &detail, action)
    }
}
