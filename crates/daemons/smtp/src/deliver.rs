//! A delivery request: next hops, servers, sessions, until each recipient has its result.

use std::sync::Arc;

use host_delivery::postmaster::Heading;
use host_delivery::{Agent, Job, RecipientInfo, Via};
use mail_status::{Action, Detail, Dsn, Notify, Outcome};
use proto_ipc::delivery::flags;
use proto_smtp::transcript::Notice;

use crate::cache::Cache;
use crate::nexthop::{Nexthop, Server, servers, worse};
use crate::session::{Session, Stage};
use crate::settings::Settings;
use crate::transaction;

/// The SMTP and LMTP delivery agent.
pub struct Client {
    settings: Arc<Settings>,
    cache: Cache,
}

impl Client {
    pub fn new(settings: Settings) -> Self {
        let settings = Arc::new(settings);
        Self { cache: Cache::new(Arc::clone(&settings)), settings }
    }
}

impl Agent for Client {
    fn deliver(&self, job: &mut Job) {
        let mut delivery = Delivery {
            settings: &self.settings,
            cache: &self.cache,
            pending: job.recipients.clone(),
            why: None,
            via: Via { relay: String::new(), tls: None },
            completed: false,
            addresses: 0,
            sessions: 0,
        };
        delivery.run(job);
    }

    fn tables_changed(&self) -> Option<String> {
        self.settings.changed()
    }
}

struct Delivery<'a> {
    settings: &'a Settings,
    cache: &'a Cache,
    pending: Vec<RecipientInfo>,
    /// Status of those that no server took.
    why: Option<Detail>,
    via: Via,
    /// Some conversation came to its end, so that the destination as such works.
    completed: bool,
    addresses: usize,
    sessions: usize,
}

impl Delivery<'_> {
    fn run(&mut self, job: &mut Job) {
        let listed: Vec<String> = mail_text::list::words(&job.request.nexthop).map(str::to_owned).collect();
        let all: Vec<&String> = listed.iter().chain(&self.settings.fallback_relay).collect();
        let count = all.len();
        for (index, text) in all.into_iter().enumerate() {
            if self.pending.is_empty() || self.limits_reached() {
                break;
            }
            if !self.try_cached(job, text) {
                let is_fallback = index >= listed.len();
                self.destination(job, text, index + 1 == count, is_fallback);
            }
        }
        self.finish_rest(job);
    }

    /// A session that is still open from an earlier message. `true`: nobody is left.
    fn try_cached(&mut self, job: &mut Job, destination: &str) -> bool {
        if !self.may_load(job, destination) {
            return false;
        }
        while let Some(mut session) = self.cache.take(&cache_key(job, destination)) {
            session.reuse_count += 1;
            session.begin_transcript(self.settings);
            self.sessions += 1;
            self.transact(job, session, destination, false);
            if self.pending.is_empty() {
                return true;
            }
        }
        false
    }

    fn destination(&mut self, job: &mut Job, text: &str, last_destination: bool, is_fallback: bool) {
        let found = Nexthop::parse(text, self.settings.lmtp, &self.settings.default_port)
            .map_err(|why| Detail::new(Dsn::new(4, 3, 5), format!("bad next hop: {why}")))
            .and_then(|nexthop| servers(self.settings, &nexthop));
        let found = match found {
            Ok(found) => found,
            Err(detail) => {
                let detail = self.as_relay_problem(detail, text, is_fallback);
                self.why = Some(worse(self.why.take(), detail));
                return;
            }
        };
        let count = found.len();
        for (index, server) in found.into_iter().enumerate() {
            if self.pending.is_empty() || self.limits_reached() {
                return;
            }
            self.addresses += 1;
            let last = last_destination && index + 1 == count || self.next_reaches_limit();
            self.server(job, &server, text, last);
        }
    }

    /// A hard error of a fallback relay or of the relayhost is our own misconfiguration.
    fn as_relay_problem(&self, detail: Detail, text: &str, is_fallback: bool) -> Detail {
        if detail.dsn.class == 5 && (is_fallback || text == self.settings.relayhost) {
            os_log::warning!("relayhost configuration problem");
            return Detail { dsn: Dsn::new(4, 3, 5), ..detail };
        }
        detail
    }

    fn server(&mut self, job: &mut Job, server: &Server, destination: &str, last: bool) {
        match Session::open(self.settings, server, &job.request.queue_id) {
            Ok(session) => {
                self.sessions += 1;
                self.transact(job, session, destination, last);
            }
            Err(no_session) => {
                match no_session.stage {
                    Stage::Connect => os_log::info!("{}", no_session.detail.reason),
                    Stage::Handshake => {
                        self.via = self.via_server(server, true);
                        if self.is_final(job, &no_session.detail) {
                            self.tell(job, server, no_session.notice);
                            return self.refuse_all(job, no_session.detail);
                        }
                        if !last {
                            os_log::info!("{}: {}", job.request.queue_id, no_session.detail.reason);
                        }
                    }
                }
                self.tell(job, server, no_session.notice);
                self.why = Some(worse(self.why.take(), no_session.detail));
            }
        }
    }

    /// A server that refuses for good to talk speaks for the destination; one that is this host itself does not.
    fn is_final(&self, job: &Job, detail: &Detail) -> bool {
        detail.dsn.class == 5 && detail.dsn != Dsn::new(5, 4, 6) && !job.context.soft_bounce
    }

    fn refuse_all(&mut self, job: &mut Job, detail: Detail) {
        let outcome = Outcome::Bounced(detail);
        for recipient in std::mem::take(&mut self.pending) {
            finish(job, &self.via, &recipient, &outcome, false);
        }
    }

    /// Ends a session; the postmaster hears of a server that did not follow the protocol.
    fn end(&self, job: &Job, mut session: Session) {
        session.quit(self.settings);
        let notice = session.take_notice();
        self.tell(job, &session.server, notice);
    }

    fn tell(&self, job: &Job, server: &Server, notice: Option<Notice>) {
        let postmaster = &self.settings.postmaster;
        let Some(notice) = notice.filter(|_| !postmaster.is_own_sender(&job.request.sender)) else { return };
        let (protocol, relay) = (if self.settings.lmtp { "LMTP" } else { "SMTP" }, server.relay());
        let heading = Heading {
            to: &postmaster.error_recipient,
            subject: &format!("{protocol} client: errors from {relay}"),
            opening: Some(&format!("Unexpected response from {relay}.")),
        };
        postmaster.send(heading, &notice);
    }

    fn transact(&mut self, job: &mut Job, mut session: Session, destination: &str, last: bool) {
        let recipients = std::mem::take(&mut self.pending);
        let keep = self.may_store(job, destination);
        let results = transaction::run(self.settings, &mut session, job, &recipients, !keep);
        let reused = session.reuse_count > 0;
        if results.stale && reused {
            self.pending = recipients;
            return;
        }
        self.via = self.via_server(&session.server, true);
        self.completed |= results.completed;
        if !last && !job.is_probe() {
            for failure in results.failures.iter().filter(|failure| may_retry(job, failure)) {
                os_log::info!("{}: {}", job.request.queue_id, failure.detail().reason);
            }
        }
        for (recipient, outcome) in recipients.into_iter().zip(results.outcomes) {
            self.take_result(job, recipient, outcome, last, session.features.dsn);
        }
        if keep && results.completed && !session.derailed {
            match self.cache.put(&cache_key(job, destination), Box::new(session)) {
                Ok(()) => {}
                Err(session) => self.end(job, *session),
            }
        } else {
            self.end(job, session);
        }
    }

    /// A recipient that may do better elsewhere waits for the next server; the others are done.
    fn take_result(
        &mut self,
        job: &mut Job,
        recipient: RecipientInfo,
        outcome: Outcome,
        last: bool,
        server_dsn: bool,
    ) {
        if may_retry(job, &outcome) && !last && !job.is_probe() {
            self.why = Some(outcome.detail().clone());
            self.pending.push(recipient);
            return;
        }
        if matches!(outcome, Outcome::Deferred(_)) && !self.completed {
            self.why = Some(outcome.detail().clone());
            job.hop_failure(outcome.detail().clone());
        }
        finish(job, &self.via, &recipient, &outcome, server_dsn);
    }

    /// No server is left.
    fn finish_rest(&mut self, job: &mut Job) {
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() {
            return;
        }
        let missing = || Detail::new(Dsn::new(4, 3, 0), "server unavailable or unable to receive mail");
        let detail = self.why.take().unwrap_or_else(missing);
        if self.via.relay.is_empty() {
            self.via.tls =
                self.addresses.min(1).eq(&1).then(|| Session::tls_text(self.settings, false)).flatten();
        }
        let outcome = Outcome::from_detail(detail.clone());
        for recipient in pending {
            finish(job, &self.via, &recipient, &outcome, false);
        }
        if matches!(outcome, Outcome::Deferred(_)) && !self.completed {
            job.hop_failure(detail);
        }
    }

    fn via_server(&self, server: &Server, connected: bool) -> Via {
        Via { relay: server.relay(), tls: Session::tls_text(self.settings, connected) }
    }

    fn limits_reached(&self) -> bool {
        reached(self.settings.address_limit, self.addresses)
            || reached(self.settings.session_limit, self.sessions)
    }

    fn next_reaches_limit(&self) -> bool {
        reached(self.settings.address_limit, self.addresses)
            || reached(self.settings.session_limit, self.sessions + 1)
    }

    fn may_load(&self, job: &Job, destination: &str) -> bool {
        self.wants_cache(job, destination, flags::CACHE_LOAD)
    }

    fn may_store(&self, job: &Job, destination: &str) -> bool {
        self.wants_cache(job, destination, flags::CACHE_STORE)
    }

    fn wants_cache(&self, job: &Job, destination: &str, flag: i32) -> bool {
        self.settings.cache_on_demand && job.request.flags & flag != 0
            || self.settings.cache_destinations.iter().any(|listed| listed == destination)
    }
}

/// Whether a recipient with this result may do better at another server.
fn may_retry(job: &Job, outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Sent(_) => false,
        Outcome::Deferred(_) => true,
        Outcome::Bounced(detail) => job.context.soft_bounce || detail.dsn == Dsn::new(5, 6, 7),
    }
}

/// One key a destination and need for SMTPUTF8.
fn cache_key(job: &Job, destination: &str) -> String {
    format!("{destination}\n{}", job.request.sendopts)
}

const fn reached(limit: usize, count: usize) -> bool {
    limit > 0 && count >= limit
}

/// Logs and accounts one recipient. A server with DSN support was given NOTIFY and reports success itself; for one
/// without, the success is reported here as relayed.
fn finish(job: &mut Job, via: &Via, recipient: &RecipientInfo, outcome: &Outcome, server_dsn: bool) {
    let mut recipient = recipient.clone();
    if server_dsn && matches!(outcome, Outcome::Sent(_)) {
        recipient.notify_flags &= !Notify::SUCCESS;
    }
    let mut shown = outcome.clone();
    if let Outcome::Sent(detail) = &mut shown {
        detail.reason = printable_reply(&detail.reason);
    }
    job.finish_as(&recipient, via, &shown, Action::Relayed);
}

fn printable_reply(text: &str) -> String {
    mail_text::printable::printable(text.as_bytes(), true)
}
