//! What to do with an address: loops and repetitions, aliases, the owner's share, .forward, mailbox.

use engine_expand::{Deed, Target};
use host_delivery::Disposition;
use host_resolve::{ResolveError, RewriteRule};
use mail_address::{fold, to_external, to_internal};
use mail_status::{Detail, Dsn, Outcome};
use os_sys::identity::{User, user_by_name};

use crate::state::{Source, State};
use crate::trip::{NESTING_LIMIT, Trip};

impl Trip<'_> {
    /// Delivers to the address at hand, whose domain is known to be local.
    pub(crate) fn recipient(&mut self, mut state: State) -> Disposition {
        if state.level > NESTING_LIMIT {
            return self.fail(&state, Dsn::new(5, 4, 6), "recipient nesting limit exceeded");
        }
        let folded = fold(&state.recipient.recipient);
        if self.done.seen(Deed::Recipient(state.level, folded.clone())) {
            return Disposition::Finished;
        }
        if self.seen.contains(&folded) {
            let text = format!("mail forwarding loop for {}", state.recipient.recipient);
            self.split(&mut state);
            return self.report_to_owner(&state, &Outcome::Bounced(Detail::new(Dsn::new(5, 4, 6), text)));
        }
        self.split(&mut state);
        if state.extension.as_ref().is_some_and(|extension| extension.contains('/')) {
            os_log::warning!("{}: address with illegal extension: {}", self.queue_id(), state.local);
            state.extension = None;
        }
        if state.user.is_empty() {
            let text = format!("null username in \"{}\"", to_external(&state.recipient.recipient));
            return self.fail(&state, Dsn::new(5, 1, 3), text);
        }
        if state.delivered.is_empty() {
            state.delivered.clone_from(&state.recipient.recipient);
        }
        if let Some(user) = state.user.strip_prefix('\\').map(str::to_owned) {
            state.user = user;
            if let Some(address) = state.recipient.recipient.strip_prefix('\\').map(str::to_owned) {
                state.recipient.recipient = address;
            }
            return self.mailbox_or_unknown(state);
        }
        self.switch(state)
    }

    fn split(&self, state: &mut State) {
        let special = self.agent.settings.owner_request_special;
        state.split(&self.agent.context.recipient_delimiter, special);
    }

    fn switch(&mut self, state: State) -> Disposition {
        if let Some(disposition) = self.alias(&state) {
            return disposition;
        }
        let foreign = !state.owner.is_empty() && !state.owner.eq_ignore_ascii_case(&state.user);
        if foreign || state.source == Source::Include {
            return self.indirect(&state);
        }
        match self.account(&state) {
            Err(disposition) => return disposition,
            Ok(Some(user)) => {
                if let Some(disposition) = self.missing_home(&state, &user) {
                    return disposition;
                }
                if let Some(disposition) = self.dot_forward(&state, &user) {
                    return disposition;
                }
            }
            Ok(None) => {}
        }
        self.mailbox_or_unknown(state)
    }

    /// The user of the password file.
    pub(crate) fn account(&mut self, state: &State) -> Result<Option<User>, Disposition> {
        user_by_name(&state.user).map_err(|error| {
            os_log::warning!("{}: user {}: {}", self.queue_id(), state.user, os_sys::error_text(&error));
            self.fail(state, Dsn::new(4, 0, 0), "user lookup error")
        })
    }

    /// `require_home_directory`
    fn missing_home(&mut self, state: &State, user: &User) -> Option<Disposition> {
        if !self.agent.settings.require_home_directory {
            return None;
        }
        let found = match self.user_identity(user, user.gid) {
            Ok(identity) => self.acting_as(identity.as_ref(), |_| std::fs::metadata(&user.home)),
            Err(_) => Ok(std::fs::metadata(&user.home)),
        };
        match found {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => {
                let reason = os_sys::error_text(&error);
                let text = format!("cannot access home directory {}: {reason}", user.home.display());
                Some(self.fail(state, Dsn::new(4, 3, 0), text))
            }
            Err(detail) => Some(self.fail(state, detail.dsn, detail.reason)),
        }
    }

    /// Delivers to each destination of an expansion.
    pub(crate) fn targets(&mut self, state: &State, targets: Vec<Target>) -> Disposition {
        let mut all = Disposition::Finished;
        for target in targets {
            if self.target(state.clone(), target) == Disposition::Remains {
                all = Disposition::Remains;
            }
        }
        all
    }

    pub(crate) fn target(&mut self, state: State, target: Target) -> Disposition {
        match target {
            Target::File(path) => self.file(&state, &path),
            Target::Command(command) => self.command(&state, &command),
            Target::Include(path) => self.include(state, &path),
            Target::Address(address) => self.address(state, &address),
        }
    }

    /// An address of an expansion: ours, or to be handed back.
    pub(crate) fn address(&mut self, mut state: State, external: &str) -> Disposition {
        let settings = &self.agent.settings;
        let rewritten = match settings.addresses.rewrite(RewriteRule::Local, external) {
            Ok(rewritten) => rewritten,
            Err(error) => {
                os_log::warning!("{}: {error}", self.queue_id());
                return self.fail(&state, Dsn::new(4, 3, 0), "address resolver failure");
            }
        };
        let mut internal = to_internal(&rewritten);
        if !state.unmatched.is_empty() {
            internal = engine_expand::with_extension(&internal, &state.unmatched);
        }
        let resolved = settings.addresses.resolve(&state.sender, &internal, false);
        match resolved.error {
            Some(ResolveError::Fail) => {
                return self.fail(&state, Dsn::new(4, 3, 0), "address resolver failure");
            }
            Some(ResolveError::Bad) => {
                let text = format!("bad recipient address syntax: {internal}");
                return self.fail(&state, Dsn::new(5, 1, 3), text);
            }
            None => {}
        }
        state.recipient.recipient = resolved.recipient;
        state.unmatched.clear();
        if resolved.transport == self.agent.context.service_name {
            state.level += 1;
            return self.recipient(state);
        }
        self.indirect(&state)
    }
}
