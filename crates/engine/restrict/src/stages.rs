//! When which list runs, and what a session carries from one to the next.

use mail_status::Dsn;

use crate::evaluate::{Cause, Evaluator, Flow, Scope, Verdict};
use crate::list::List;

/// What access tables want done with the message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// FILTER: `transport:destination`; the last one wins.
    pub filter: Option<String>,
    /// REDIRECT: the address; the last one wins.
    pub redirect: Option<String>,
    /// BCC: addresses.
    pub bcc: Vec<String>,
    /// HOLD.
    pub hold: bool,
    /// DISCARD.
    pub discard: bool,
    /// PREPEND: header lines.
    pub prepend: Vec<String>,
}

/// What a session remembers between decisions.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// What access tables want done with the message. Cleared by the driver when a transaction ends.
    pub effects: Effects,
    pub(crate) defer_if_permit: Option<String>,
    pub(crate) defer_if_reject: Option<String>,
    pub(crate) warn_if_reject: bool,
    pub(crate) warning: bool,
    pub(crate) sender_was_checked: bool,
    pub(crate) recipient_was_checked: bool,
    carried: Carried,
}

/// `defer_if_permit` of the stages without `smtpd_delay_reject`.
#[derive(Clone, Debug, Default)]
struct Carried {
    client: Option<String>,
    helo: Option<String>,
    sender: Option<String>,
}

impl Evaluator<'_> {
    /// `smtpd_client_restrictions`, at CONNECT.
    pub fn client(&mut self) -> Verdict {
        if self.policy.delay_reject {
            return Verdict::Accept;
        }
        self.state.defer_if_permit = None;
        let flow = self.client_list();
        self.state.carried = Carried { client: self.state.defer_if_permit.take(), ..Carried::default() };
        verdict(flow)
    }

    /// `smtpd_helo_restrictions`, at HELO.
    pub fn helo(&mut self) -> Verdict {
        if self.policy.delay_reject {
            return Verdict::Accept;
        }
        self.state.defer_if_permit = self.state.carried.client.clone();
        let flow = self.helo_list();
        self.state.carried.helo = self.state.defer_if_permit.take();
        verdict(flow)
    }

    /// `smtpd_sender_restrictions`, at MAIL.
    pub fn sender(&mut self) -> Verdict {
        if self.policy.delay_reject {
            return Verdict::Accept;
        }
        self.state.defer_if_permit =
            self.state.carried.helo.clone().or_else(|| self.state.carried.client.clone());
        let flow = self.sender_list();
        self.state.carried.sender = self.state.defer_if_permit.take();
        verdict(flow)
    }

    /// All that is to be decided at RCPT (and VRFY).
    pub fn recipient(&mut self) -> Verdict {
        let Some(recipient) = self.facts.recipient else { return Verdict::Accept };
        // The postmaster of this host can always be reached (RFC 5321 §4.5.1).
        if recipient.eq_ignore_ascii_case("postmaster") || self.world.is_probe_sender(recipient) {
            return Verdict::Accept;
        }
        // The message goes nowhere: nothing is left to decide.
        if self.state.effects.discard {
            return Verdict::Accept;
        }
        self.state.recipient_was_checked = false;
        let flow = self.before_recipient();
        if let Some(verdict) = decided(flow) {
            return verdict;
        }
        let policy = self.policy;
        let scope = self.recipient_scope();
        let lists: [&List; 2] = if policy.relay_first {
            [&policy.relay, &policy.recipient]
        } else {
            [&policy.recipient, &policy.relay]
        };
        for list in lists {
            let flow = self.list(list, &scope);
            if let Some(verdict) = decided(flow) {
                return verdict;
            }
        }
        if let Some(verdict) = self.pending() {
            return verdict;
        }
        if policy.reject_unlisted_recipient && !self.state.recipient_was_checked {
            let flow = self.unlisted_recipient();
            return verdict(flow);
        }
        Verdict::Accept
    }

    fn before_recipient(&mut self) -> Flow {
        if !self.policy.delay_reject {
            let carried = &self.state.carried;
            self.state.defer_if_permit =
                carried.sender.clone().or_else(|| carried.helo.clone()).or_else(|| carried.client.clone());
            return Flow::Next;
        }
        self.state.defer_if_permit = None;
        for stage in [Self::client_list, Self::helo_list, Self::sender_list] {
            match stage(self) {
                Flow::Next | Flow::Permit => {}
                done @ (Flow::PermitAll | Flow::Stop(_)) => return done,
            }
        }
        Flow::Next
    }

    /// `smtpd_etrn_restrictions`, at ETRN.
    pub fn etrn(&mut self) -> Verdict {
        self.state.defer_if_permit = None;
        if self.policy.delay_reject {
            for stage in [Self::client_list, Self::helo_list] {
                let flow = stage(self);
                if let Some(verdict) = decided(flow) {
                    return verdict;
                }
            }
        }
        let scope = Scope {
            name: self.facts.etrn.unwrap_or("").to_owned(),
            class: "Etrn command",
            default_table: Some("check_etrn_access"),
        };
        let policy = self.policy;
        let flow = self.list(&policy.etrn, &scope);
        decided(flow).or_else(|| self.pending()).unwrap_or(Verdict::Accept)
    }

    /// `smtpd_data_restrictions`, at DATA and the first BDAT.
    pub fn data(&mut self) -> Verdict {
        let policy = self.policy;
        self.content(&policy.data, "DATA", "Data command")
    }

    /// `smtpd_end_of_data_restrictions`.
    pub fn end_of_data(&mut self) -> Verdict {
        let policy = self.policy;
        self.content(&policy.end_of_data, "END-OF-MESSAGE", "End-of-data")
    }

    fn content(&mut self, list: &List, name: &str, class: &'static str) -> Verdict {
        if self.state.effects.discard {
            return Verdict::Accept;
        }
        self.state.defer_if_permit = None;
        let scope = Scope { name: name.to_owned(), class, default_table: None };
        let flow = self.list(list, &scope);
        decided(flow).or_else(|| self.pending()).unwrap_or(Verdict::Accept)
    }

    fn client_list(&mut self) -> Flow {
        let scope = self.client_scope();
        let policy = self.policy;
        self.list(&policy.client, &scope)
    }

    fn helo_list(&mut self) -> Flow {
        let Some(scope) = self.helo_scope() else { return Flow::Next };
        let policy = self.policy;
        self.list(&policy.helo, &scope)
    }

    fn sender_list(&mut self) -> Flow {
        let Some(scope) = self.sender_scope() else { return Flow::Next };
        let policy = self.policy;
        self.state.sender_was_checked = false;
        match self.list(&policy.sender, &scope) {
            Flow::Next | Flow::Permit => {}
            done @ (Flow::PermitAll | Flow::Stop(_)) => return done,
        }
        if policy.reject_unlisted_sender && !self.state.sender_was_checked {
            return self.unlisted_sender();
        }
        Flow::Next
    }

    fn list(&mut self, list: &List, scope: &Scope) -> Flow {
        self.state.defer_if_reject = None;
        self.state.warn_if_reject = false;
        self.state.warning = false;
        self.words(list.words(), scope)
    }

    /// A `defer_if_permit` that nothing has overtaken.
    fn pending(&mut self) -> Option<Verdict> {
        let reply = self.state.defer_if_permit.take()?;
        self.world.decision("reject", &reply);
        Some(Verdict::Reject(reply, Cause::Policy))
    }

    pub(crate) fn client_scope(&self) -> Scope {
        Scope {
            name: self.facts.client.namaddr.clone(),
            class: "Client host",
            default_table: Some("check_client_access"),
        }
    }

    pub(crate) fn helo_scope(&self) -> Option<Scope> {
        let name = self.facts.helo?.to_owned();
        Some(Scope { name, class: "Helo command", default_table: Some("check_helo_access") })
    }

    pub(crate) fn sender_scope(&self) -> Option<Scope> {
        let name = self.facts.sender?.to_owned();
        Some(Scope { name, class: "Sender address", default_table: Some("check_sender_access") })
    }

    pub(crate) fn recipient_scope(&self) -> Scope {
        let name = self.facts.recipient.unwrap_or("").to_owned();
        Scope { name, class: "Recipient address", default_table: Some("check_recipient_access") }
    }
}

fn verdict(flow: Flow) -> Verdict {
    decided(flow).unwrap_or(Verdict::Accept)
}

/// A verdict that ends all lists.
fn decided(flow: Flow) -> Option<Verdict> {
    match flow {
        Flow::Next | Flow::Permit => None,
        Flow::PermitAll => Some(Verdict::Accept),
        Flow::Stop(verdict) => Some(verdict),
    }
}

/// A status code fitted to what it is said about (`mapping DSN status A into CLASS status B`).
pub(crate) fn mapped(dsn: Dsn, class: &str) -> Dsn {
    if dsn.subject != 1 {
        return dsn;
    }
    match (class, dsn.detail) {
        ("Sender address", 1 | 3 | 4 | 6 | 7) => Dsn::new(dsn.class, 1, 7),
        ("Sender address", 2 | 8) => Dsn::new(dsn.class, 1, 8),
        ("Sender address", _) => Dsn::new(dsn.class, 1, 0),
        ("Recipient address", 7) => Dsn::new(dsn.class, 1, 3),
        ("Recipient address", 8) => Dsn::new(dsn.class, 1, 2),
        ("Recipient address", 1..=6) => dsn,
        ("Recipient address", _) => Dsn::new(dsn.class, 1, 0),
        (_, _) => Dsn::new(dsn.class, 0, 0),
    }
}
