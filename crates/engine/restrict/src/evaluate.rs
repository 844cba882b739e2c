//! One restriction list, word by word.

use mail_status::Dsn;

use crate::facts::{Class, Facts, NameStatus, World};
use crate::policy::Policy;
use crate::stages::State;

/// Lists within lists (classes, table results).
const DEPTH: usize = 100;

/// What a list comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing against it.
    Accept,
    /// This reply, and why.
    Reject(String, Cause),
    /// End the session without a reply.
    Hangup,
}

/// The kind of a rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A rule says so.
    Policy,
    /// The address is not known.
    Unknown,
    /// A table could not tell.
    Lookup,
    /// The configuration is wrong.
    Configuration,
}

/// What one word comes to.
pub(crate) enum Flow {
    /// The next word, please.
    Next,
    /// The rest of this list does not matter.
    Permit,
    /// The rest of all lists does not matter (DISCARD).
    PermitAll,
    /// The end.
    Stop(Verdict),
}

/// Whose list it is: the words of its replies.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    /// Between `<` and `>`.
    pub name: String,
    /// `Recipient address` …
    pub class: &'static str,
    /// What a bare `type:table` means.
    pub default_table: Option<&'static str>,
}

/// Evaluates lists over these facts.
pub struct Evaluator<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) facts: Facts<'a>,
    pub(crate) world: &'a mut dyn World,
    pub(crate) state: &'a mut State,
    pub(crate) depth: usize,
}

/// A rejection before it is written down.
pub(crate) struct Refusal {
    pub code: u16,
    pub dsn: Dsn,
    pub text: String,
    pub cause: Cause,
}

impl<'a> Evaluator<'a> {
    /// An evaluator for one decision. `state` belongs to the session.
    pub fn new(policy: &'a Policy, facts: Facts<'a>, world: &'a mut dyn World, state: &'a mut State) -> Self {
        Self { policy, facts, world, state, depth: 0 }
    }

    /// Runs the words of a list.
    pub(crate) fn words(&mut self, words: &[String], scope: &Scope) -> Flow {
        if self.depth >= DEPTH {
            self.world.warn("restriction lists are nested too deeply".to_owned());
            return self.configuration_error();
        }
        self.depth += 1;
        let flow = self.run(words, scope);
        self.depth -= 1;
        flow
    }

    fn run(&mut self, words: &[String], scope: &Scope) -> Flow {
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if self.state.defer_if_permit.is_some() && self.state.defer_if_reject.is_some() {
                return Flow::Next;
            }
            let warn_only = std::mem::take(&mut self.state.warn_if_reject);
            let name = word.to_ascii_lowercase();
            if name == "warn_if_reject" {
                self.state.warn_if_reject = true;
                continue;
            }
            let outer = self.state.warning;
            self.state.warning = warn_only || outer;
            let flow = self.word(word, &name, &mut words, scope);
            self.state.warning = outer;
            match flow {
                Flow::Next => {}
                Flow::Permit | Flow::PermitAll | Flow::Stop(_) => {
                    if matches!(name.as_str(), "permit" | "reject" | "defer")
                        && let Some(next) = words.next()
                    {
                        self.world.warn(format!("restriction `{next}' after `{name}' is ignored"));
                    }
                    return flow;
                }
            }
        }
        Flow::Next
    }

    fn word(
        &mut self,
        word: &str,
        name: &str,
        rest: &mut std::slice::Iter<'_, String>,
        scope: &Scope,
    ) -> Flow {
        if !name.starts_with("check_")
            && let Some(table) = scope.default_table
            && is_table(word)
        {
            return self.table_check(table, word);
        }
        if let Some(flow) = self.simple(name, scope) {
            return flow;
        }
        if let Some(flow) = self.with_argument(name, rest) {
            return flow;
        }
        if let Some(flow) = self.about_names(name) {
            return flow;
        }
        if let Some(text) = self.world.class(word) {
            let list = crate::List::parse(&text);
            return self.words(list.words(), scope);
        }
        self.world.warn(format!("unknown smtpd restriction: \"{word}\""));
        self.configuration_error()
    }

    fn simple(&mut self, name: &str, scope: &Scope) -> Option<Flow> {
        let policy = self.policy;
        let flow = match name {
            "permit" => self.permit("permit", scope),
            "reject" => self.class_refusal(policy.reject_code, Dsn::new(5, 7, 1), "Access denied", scope),
            "defer" => self.class_refusal(policy.defer_code, Dsn::new(4, 3, 2), "Try again later", scope),
            "defer_if_permit" => {
                let refusal = self.in_scope(450, Dsn::new(4, 7, 0), "defer_if_permit requested", scope);
                self.defer_if_permit(refusal)
            }
            "defer_if_reject" => {
                let refusal = self.in_scope(450, Dsn::new(4, 7, 0), "defer_if_reject requested", scope);
                self.defer_if_reject(refusal)
            }
            "reject_plaintext_session" => self.refuse(Refusal {
                code: policy.plaintext_code,
                dsn: Dsn::new(4, 7, 1),
                text: "Session encryption is required".into(),
                cause: Cause::Policy,
            }),
            "reject_unauth_pipelining" if self.facts.pipelined => {
                self.class_refusal(503, Dsn::new(5, 5, 0), "Improper use of SMTP command pipelining", scope)
            }
            "reject_unauth_pipelining" => Flow::Next,
            "reject_multi_recipient_bounce" => self.multi_recipient_bounce(scope),
            "permit_mynetworks" => self.permit_mynetworks(),
            "permit_inet_interfaces" if self.world.is_own_address() => self.permit_client(name),
            // Without SASL and TLS nobody has logged in and no certificate has been shown.
            "permit_inet_interfaces"
            | "permit_sasl_authenticated"
            | "permit_tls_clientcerts"
            | "permit_tls_all_clientcerts" => Flow::Next,
            "reject_unauth_destination" => self.unauth_destination(policy.relay_code, Dsn::new(5, 7, 1)),
            "defer_unauth_destination" => {
                let code = if policy.relay_code >= 500 { policy.relay_code - 100 } else { policy.relay_code };
                self.unauth_destination(code, Dsn::new(4, 7, 1))
            }
            "permit_auth_destination" => self.permit_auth_destination(scope),
            _ => return self.other_simple(name),
        };
        Some(flow)
    }

    fn other_simple(&mut self, name: &str) -> Option<Flow> {
        let flow = match name {
            "reject_unlisted_sender" => self.unlisted_sender(),
            "reject_unlisted_recipient" | "check_recipient_maps" => self.unlisted_recipient(),
            "reject_unverified_sender" => self.unverified_sender(),
            "reject_unverified_recipient" => self.unverified_recipient(),
            "reject_sender_login_mismatch"
            | "reject_authenticated_sender_login_mismatch"
            | "reject_unauthenticated_sender_login_mismatch"
            | "reject_known_sender_login_mismatch" => {
                self.world.warn(format!("restriction `{name}' ignored: no SASL support"));
                Flow::Next
            }
            "reject_maps_rbl" => self.removed(name, "reject_rbl_client domain-name"),
            "check_relay_domains" => self.removed(name, "reject_unauth_destination"),
            "permit_naked_ip_address" => {
                self.removed(name, "permit_mynetworks\" or \"permit_sasl_authenticated")
            }
            _ => return None,
        };
        Some(flow)
    }

    fn removed(&mut self, name: &str, instead: &str) -> Flow {
        self.world.warn(format!("support for restriction \"{name}\" has been removed in Postfix 3.9; instead, specify \"{instead}\""));
        self.configuration_error()
    }

    fn with_argument(&mut self, name: &str, rest: &mut std::slice::Iter<'_, String>) -> Option<Flow> {
        if name == "sleep" {
            let Some(text) = rest.next() else { return Some(self.bad_argument(name, "", "time")) };
            match text.parse::<u64>() {
                Ok(seconds) => self.world.sleep(std::time::Duration::from_secs(seconds.min(1000))),
                Err(_) => return Some(self.configuration_error()),
            }
            return Some(Flow::Next);
        }
        if name.starts_with("check_") && name.ends_with("_access") && crate::tables::is_check(name) {
            let argument = rest.next();
            let Some(table) = argument.filter(|table| is_table(table)) else {
                return Some(self.bad_argument(
                    name,
                    argument.map_or(name, String::as_str),
                    "maptype:mapname",
                ));
            };
            return Some(self.table_check(name, table));
        }
        if crate::tables::is_later(name) {
            // Policy servers, RBL and DNS lists are not part of this release: refused for now, never skipped.
            let argument = rest.next().map_or("", String::as_str);
            self.world.warn(format!("restriction \"{name} {argument}\" is not supported by this version"));
            return Some(self.configuration_error());
        }
        None
    }

    fn bad_argument(&mut self, name: &str, argument: &str, need: &str) -> Flow {
        self.world.warn(format!("restriction {name}: bad argument \"{argument}\": need {need}"));
        self.configuration_error()
    }

    /// `451 4.3.5 Server configuration error`, which no `warn_if_reject` softens.
    pub(crate) fn configuration_error(&mut self) -> Flow {
        self.state.warning = false;
        self.refuse(Refusal {
            code: 451,
            dsn: Dsn::new(4, 3, 5),
            text: "Server configuration error".into(),
            cause: Cause::Configuration,
        })
    }

    /// `451 4.3.0 <key>: Temporary lookup failure`.
    pub(crate) fn lookup_failure(&mut self, key: &str) -> Flow {
        self.state.warning = false;
        let text = format!("<{key}>: Temporary lookup failure");
        self.refuse(Refusal { code: 451, dsn: Dsn::new(4, 3, 0), text, cause: Cause::Lookup })
    }

    pub(crate) fn in_scope(&self, code: u16, dsn: Dsn, text: &str, scope: &Scope) -> Refusal {
        Refusal {
            code,
            dsn,
            text: format!("<{}>: {} rejected: {text}", scope.name, scope.class),
            cause: Cause::Policy,
        }
    }

    pub(crate) fn class_refusal(&mut self, code: u16, dsn: Dsn, text: &str, scope: &Scope) -> Flow {
        let refusal = self.in_scope(code, dsn, text, scope);
        self.refuse(refusal)
    }

    /// Rejects, or only says so after `warn_if_reject`.
    pub(crate) fn refuse(&mut self, refusal: Refusal) -> Flow {
        let mut reply = self.reply(&refusal);
        if !self.state.warning
            && reply.starts_with('5')
            && let Some(deferred) = &self.state.defer_if_reject
        {
            reply.clone_from(deferred);
        }
        if self.state.warning {
            self.world.decision("reject_warning", &reply);
            return Flow::Next;
        }
        self.world.decision("reject", &reply);
        Flow::Stop(Verdict::Reject(reply, refusal.cause))
    }

    /// `CODE DSN text`: one line of printable text, at most 510 bytes.
    pub(crate) fn reply(&mut self, refusal: &Refusal) -> String {
        let mut code = refusal.code;
        if !(400..600).contains(&code) {
            self.world.warn(format!(
                "SMTP reply code configuration error: {code} {} {}",
                refusal.dsn, refusal.text
            ));
            return "450 4.7.1 Service unavailable".to_owned();
        }
        if self.policy.soft_bounce && code >= 500 {
            code -= 100;
        }
        let class = if code >= 500 { 5 } else { 4 };
        let text = format!("{code} {} {}", refusal.dsn.with_class(class), refusal.text);
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        mail_text::printable::truncated(&text, 510).to_owned()
    }

    pub(crate) fn defer_if_permit(&mut self, refusal: Refusal) -> Flow {
        if self.state.warning {
            return self.refuse(refusal);
        }
        if self.state.defer_if_permit.is_none() {
            self.state.defer_if_permit = Some(self.reply(&refusal));
        }
        Flow::Next
    }

    pub(crate) fn defer_if_reject(&mut self, refusal: Refusal) -> Flow {
        if self.state.defer_if_reject.is_none() {
            self.state.defer_if_reject = Some(self.reply(&refusal));
        }
        Flow::Next
    }

    /// Permits; logged when `smtpd_log_access_permit_actions` lists the action.
    pub(crate) fn permit(&mut self, action: &str, scope: &Scope) -> Flow {
        self.log_permit(action, scope, "");
        Flow::Permit
    }

    fn permit_client(&mut self, action: &str) -> Flow {
        let scope = self.client_scope();
        self.permit(action, &scope)
    }

    pub(crate) fn log_permit(&mut self, action: &str, scope: &Scope, table: &str) {
        if self.policy.log_permit.iter().any(|word| word.eq_ignore_ascii_case(action) || word == "static:all")
        {
            let from = if table.is_empty() { " ".to_owned() } else { format!(" from {table}") };
            self.world
                .decision("permit", &format!("action={action} for {}={}{from}", scope.class, scope.name));
        }
    }

    fn multi_recipient_bounce(&mut self, scope: &Scope) -> Flow {
        if self.facts.sender == Some("") && self.facts.recipients > 1 {
            return self.class_refusal(
                self.policy.multi_recipient_code,
                Dsn::new(5, 5, 3),
                "Multi-recipient bounce",
                scope,
            );
        }
        Flow::Next
    }

    fn permit_mynetworks(&mut self) -> Flow {
        match self.world.in_mynetworks() {
            Ok(true) => self.permit_client("permit_mynetworks"),
            Ok(false) => Flow::Next,
            Err(_) => {
                let key = self.facts.client.address.clone();
                self.lookup_failure(&key)
            }
        }
    }

    fn unauth_destination(&mut self, code: u16, dsn: Dsn) -> Flow {
        let Some(recipient) = self.facts.recipient else { return Flow::Next };
        let resolved = self.world.resolve(recipient);
        if resolved.failed {
            return self.lookup_failure(recipient);
        }
        let ours = resolved.class != Class::Default;
        if ours && (!resolved.routed || self.policy.allow_untrusted_routing) {
            return Flow::Next;
        }
        self.refuse(Refusal {
            code,
            dsn,
            text: format!("<{recipient}>: Relay access denied"),
            cause: Cause::Policy,
        })
    }

    fn permit_auth_destination(&mut self, scope: &Scope) -> Flow {
        let Some(recipient) = self.facts.recipient else { return Flow::Next };
        let resolved = self.world.resolve(recipient);
        if resolved.failed {
            return self.lookup_failure(recipient);
        }
        if resolved.class != Class::Default && (!resolved.routed || self.policy.allow_untrusted_routing) {
            return self.permit("permit_auth_destination", scope);
        }
        Flow::Next
    }

    pub(crate) fn unknown_client(&mut self, reverse: bool) -> Flow {
        let client = self.facts.client;
        let (status, dsn, what) = if reverse {
            (client.reverse_status, Dsn::new(4, 7, 1), "reverse hostname")
        } else {
            (client.name_status, Dsn::new(4, 7, 25), "hostname")
        };
        let code = match status {
            NameStatus::Ok => return Flow::Next,
            NameStatus::Forged if reverse => return Flow::Next,
            NameStatus::Temporary => 450,
            NameStatus::Forged | NameStatus::Permanent => self.policy.unknown_client_code,
        };
        let text = format!("Client host rejected: cannot find your {what}, [{}]", client.address);
        self.refuse(Refusal { code, dsn, text, cause: Cause::Policy })
    }
}

/// `type:name`, but no restriction.
pub(crate) fn is_table(word: &str) -> bool {
    word.split_once(':')
        .is_some_and(|(kind, name)| !kind.is_empty() && !name.is_empty() && !kind.contains('{'))
}
