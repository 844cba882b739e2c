//! One recipient of the request, from the expansion to the account given of it.

use engine_expand::DuplicateFilter;
use host_delivery::{Disposition, Job, RecipientInfo, Via};
use mail_status::{Detail, Dsn, Outcome};
use os_sys::identity::{Identity, User};

use crate::Local;
use crate::forward::Forwards;
use crate::state::{Rights, State};

/// Aliases within aliases, at most.
pub(crate) const NESTING_LIMIT: usize = 100;

/// The delivery to one recipient of the request.
pub(crate) struct Trip<'a> {
    pub(crate) agent: &'a Local,
    pub(crate) job: &'a mut Job,
    pub(crate) top: RecipientInfo,
    pub(crate) done: DuplicateFilter,
    /// `Delivered-To:` headers of the message.
    pub(crate) seen: &'a [String],
    pub(crate) forwards: Forwards,
    pub(crate) via: Via,
    bounced: bool,
}

impl<'a> Trip<'a> {
    pub(crate) fn new(agent: &'a Local, job: &'a mut Job, top: &RecipientInfo, seen: &'a [String]) -> Self {
        Self {
            agent,
            job,
            top: top.clone(),
            done: DuplicateFilter::new(agent.settings.duplicate_limit),
            seen,
            forwards: Forwards::default(),
            via: Via::relay(agent.context.service_name.clone()),
            bounced: false,
        }
    }

    /// Delivers; hands the rest back to the queue only if nothing is to be tried again, since else the next attempt
    /// would hand it back a second time.
    pub(crate) fn run(mut self) {
        let state = State::new(&self.top, &self.job.request.sender);
        let mut disposition = self.recipient(state);
        if disposition == Disposition::Finished {
            disposition = self.hand_back();
        }
        let top = self.top.clone();
        self.job.complete(&top, disposition, self.bounced);
    }

    /// Gives account of the address at hand.
    pub(crate) fn report(&mut self, state: &State, outcome: &Outcome) -> Disposition {
        self.bounced |= matches!(outcome, Outcome::Bounced(_));
        self.job.report(&state.recipient, &self.via, outcome)
    }

    /// Gives account of a file, a command or a loop: a failure is told to the owner of the address at hand, if it has one.
    pub(crate) fn report_to_owner(&mut self, state: &State, outcome: &Outcome) -> Disposition {
        if !matches!(outcome, Outcome::Bounced(_)) || self.agent.context.soft_bounce {
            return self.report(state, outcome);
        }
        match self.owner_of(state) {
            Ok(None) => self.report(state, outcome),
            Ok(Some(owner)) => {
                self.bounced = true;
                self.job.report_to(&state.recipient, &self.via, outcome, &owner, state.own_envelope)
            }
            Err(error) => {
                os_log::warning!("{}: {error}", self.queue_id());
                self.fail(state, Dsn::new(4, 3, 0), "alias database unavailable")
            }
        }
    }

    pub(crate) fn sent(&mut self, state: &State, text: impl Into<String>) -> Disposition {
        self.report(state, &Outcome::Sent(Detail::new(Dsn::new(2, 0, 0), text)))
    }

    pub(crate) fn fail(&mut self, state: &State, dsn: Dsn, text: impl Into<String>) -> Disposition {
        self.report(state, &Outcome::from_detail(Detail::new(dsn, text)))
    }

    pub(crate) fn misconfigured(&mut self, state: &State) -> Disposition {
        self.fail(state, Dsn::new(5, 3, 5), "mail system configuration error")
    }

    pub(crate) fn queue_id(&self) -> &str {
        &self.job.request.queue_id
    }

    /// As whom to act for these rights: `Ok(None)` as this process.
    ///
    /// # Errors
    /// The clear word that this needs root.
    pub(crate) fn identity(&self, rights: &Rights) -> Result<Option<Identity>, Detail> {
        match rights {
            Rights::Default => {
                Ok(self.agent.root.is_some().then(|| self.agent.settings.default_identity.clone()))
            }
            Rights::User(user) => self.user_identity(user, user.gid),
        }
    }

    pub(crate) fn user_identity(&self, user: &User, gid: u32) -> Result<Option<Identity>, Detail> {
        if self.agent.root.is_some() {
            return Ok(Some(Identity { name: Some(user.name.clone()), uid: user.uid, gid }));
        }
        if user.uid == os_sys::identity::effective_uid() {
            return Ok(None);
        }
        Err(Detail::new(Dsn::new(4, 3, 0), format!("delivery as user {} needs root privileges", user.name)))
    }

    /// Does `work` as somebody.
    ///
    /// # Errors
    /// When the identity cannot be taken.
    pub(crate) fn acting_as<T>(
        &mut self,
        identity: Option<&Identity>,
        work: impl FnOnce(&mut Self) -> T,
    ) -> Result<T, Detail> {
        let agent = self.agent;
        match (&agent.root, identity) {
            (Some(root), Some(identity)) => root.acting_as(identity, || work(self)).map_err(|error| {
                Detail::new(
                    Dsn::new(4, 3, 0),
                    format!("cannot change identity: {}", os_sys::error_text(&error)),
                )
            }),
            (Some(_), None) | (None, _) => Ok(work(self)),
        }
    }
}
