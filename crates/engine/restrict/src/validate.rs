//! Recipient and sender validation by address class, and by probing.

use mail_status::Dsn;

use crate::evaluate::{Cause, Evaluator, Flow, Refusal, Scope};
use crate::facts::{Class, Map, Probe, Resolved};
use crate::stages::mapped;

/// Longest text of a probe in a reply.
const PROBE_TEXT: usize = 250;

impl Evaluator<'_> {
    pub(crate) fn unlisted_sender(&mut self) -> Flow {
        let Some(own) = self.sender_scope() else { return Flow::Next };
        if !self.state.warning {
            self.state.sender_was_checked = true;
        }
        if own.name.is_empty() || self.world.is_probe_sender(&own.name) {
            return Flow::Next;
        }
        self.listed(
            &own,
            &[Map::RecipientCanonical, Map::SenderCanonical, Map::Canonical, Map::VirtualAlias],
            0,
        )
    }

    pub(crate) fn unlisted_recipient(&mut self) -> Flow {
        if self.facts.recipient.is_none() {
            return Flow::Next;
        }
        let own = self.recipient_scope();
        if !self.state.warning {
            self.state.recipient_was_checked = true;
        }
        self.listed(&own, &[Map::RecipientCanonical, Map::Canonical, Map::VirtualAlias], 1)
    }

    /// Rejects an address that no table of its class knows.
    fn listed(&mut self, scope: &Scope, rewriting: &[Map], detail: u16) -> Flow {
        let resolved = self.world.resolve(&scope.name);
        if resolved.failed {
            return self.lookup_failure(&scope.name);
        }
        if is_reserved(&resolved, &self.policy.double_bounce) {
            return Flow::Next;
        }
        for map in rewriting {
            match self.world.find(*map, &resolved.recipient) {
                Ok(Some(_)) => return Flow::Next,
                Ok(None) => {}
                Err(_) => return self.lookup_failure(&scope.name),
            }
        }
        if matches!(resolved.transport.as_str(), "error" | "retry") {
            return self.error_transport(&resolved, scope);
        }
        let (map, code, table) = match resolved.class {
            Class::Local => (Map::LocalRecipient, self.policy.unknown_local_code, "local recipient table"),
            Class::VirtualMailbox => {
                (Map::VirtualMailbox, self.policy.unknown_virtual_mailbox_code, "virtual mailbox table")
            }
            Class::Relay => (Map::RelayRecipient, self.policy.unknown_relay_code, "relay recipient table"),
            Class::VirtualAlias | Class::Default => return Flow::Next,
        };
        if self.world.is_empty(map) {
            return Flow::Next;
        }
        match self.world.find(map, &resolved.recipient) {
            Ok(Some(_)) => Flow::Next,
            Err(_) => self.lookup_failure(&scope.name),
            Ok(None) => {
                let text = if self.policy.show_table_name {
                    format!("User unknown in {table}")
                } else {
                    "User unknown".to_owned()
                };
                self.unknown(code, Dsn::new(5, 1, detail), &text, scope)
            }
        }
    }

    /// relocated_maps, an `error:` route, an unknown virtual alias: the resolver has the text.
    fn error_transport(&mut self, resolved: &Resolved, scope: &Scope) -> Flow {
        let (default, default_code) =
            if resolved.transport == "retry" { (Dsn::new(4, 1, 1), 450) } else { (Dsn::new(5, 1, 1), 550) };
        let (dsn, text) = Dsn::split(&resolved.nexthop).unwrap_or((default, resolved.nexthop.as_str()));
        let code = match dsn.class {
            4 => 450,
            _ if resolved.class == Class::VirtualAlias => self.policy.unknown_virtual_alias_code,
            _ => default_code,
        };
        self.unknown(code, mapped(dsn, scope.class), text, scope)
    }

    fn unknown(&mut self, code: u16, dsn: Dsn, text: &str, scope: &Scope) -> Flow {
        let refusal = self.in_scope(code, dsn, text, scope);
        self.refuse(Refusal { cause: Cause::Unknown, ..refusal })
    }

    pub(crate) fn unverified_sender(&mut self) -> Flow {
        let Some(scope) = self.sender_scope() else { return Flow::Next };
        if scope.name.is_empty() {
            return Flow::Next;
        }
        let policy = self.policy;
        let codes = (policy.unverified_sender_code, policy.unverified_sender_defer_code);
        self.verified(
            &scope,
            codes,
            &policy.unverified_sender_reason,
            policy.sender_tempfail,
            Dsn::new(4, 1, 7),
        )
    }

    pub(crate) fn unverified_recipient(&mut self) -> Flow {
        if self.facts.recipient.is_none() {
            return Flow::Next;
        }
        let scope = self.recipient_scope();
        let policy = self.policy;
        let codes = (policy.unverified_recipient_code, policy.unverified_recipient_defer_code);
        self.verified(
            &scope,
            codes,
            &policy.unverified_recipient_reason,
            policy.recipient_tempfail,
            Dsn::new(4, 1, 1),
        )
    }

    fn verified(
        &mut self,
        scope: &Scope,
        codes: (u16, u16),
        reason: &str,
        action: crate::TempfailAction,
        dsn: Dsn,
    ) -> Flow {
        let (reject_code, defer_code) = codes;
        let resolved = self.world.resolve(&scope.name);
        if resolved.failed {
            return self.lookup_failure(&scope.name);
        }
        let (code, kind, why) = match self.world.verify(&resolved.recipient) {
            Probe::Deliverable => return Flow::Next,
            Probe::Undeliverable(why) => (reject_code, "undeliverable", why),
            Probe::Deferred(why) => (defer_code, "unverified", why),
            Probe::Down => {
                let refusal = self.in_scope(defer_code, dsn, "address verification problem", scope);
                return self.tempfail(action, refusal);
            }
        };
        if code / 100 == 2 {
            return Flow::Next;
        }
        let why = if reason.is_empty() { mail_text::printable::truncated(&why, PROBE_TEXT) } else { reason };
        let refusal: Refusal = self.in_scope(code, dsn, &format!("{kind} address: {why}"), scope);
        if kind == "unverified" { self.tempfail(action, refusal) } else { self.refuse(refusal) }
    }
}

/// Addresses that always exist where mail is local.
fn is_reserved(resolved: &Resolved, double_bounce: &str) -> bool {
    let local = mail_address::split(&resolved.recipient).0;
    resolved.class == Class::Local
        && ["postmaster", "mailer-daemon", double_bounce].iter().any(|name| name.eq_ignore_ascii_case(local))
}
