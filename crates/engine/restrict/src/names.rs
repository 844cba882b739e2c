//! Restrictions on host names and domains.

use mail_address::hostname::{is_hostname, literal};
use mail_status::Dsn;

use crate::evaluate::{Evaluator, Flow, Refusal, Scope};
use crate::facts::{Class, Dns, Record};
use crate::policy::TempfailAction;

/// Whether a domain can be reached by mail.
enum Reach {
    Yes,
    No,
    NullMx,
    Unknown,
}

impl Evaluator<'_> {
    pub(crate) fn about_names(&mut self, name: &str) -> Option<Flow> {
        let flow = match name {
            "reject_unknown_client_hostname" | "reject_unknown_client" => self.unknown_client(false),
            "reject_unknown_reverse_client_hostname" => self.unknown_client(true),
            "reject_invalid_helo_hostname" | "reject_invalid_hostname" => self.invalid_helo(),
            "reject_non_fqdn_helo_hostname" | "reject_non_fqdn_hostname" => self.non_fqdn_helo(),
            "reject_unknown_helo_hostname" | "reject_unknown_hostname" => self.unknown_helo(),
            "reject_non_fqdn_sender" => match self.sender_scope() {
                Some(scope) => self.non_fqdn_address(&scope),
                None => Flow::Next,
            },
            "reject_non_fqdn_recipient" if self.facts.recipient.is_some() => {
                let scope = self.recipient_scope();
                self.non_fqdn_address(&scope)
            }
            "reject_unknown_sender_domain" | "reject_unknown_address" => match self.sender_scope() {
                Some(scope) => self.unknown_domain(&scope, 8, 27, 550),
                None => Flow::Next,
            },
            "reject_unknown_recipient_domain" if self.facts.recipient.is_some() => {
                let scope = self.recipient_scope();
                self.unknown_domain(&scope, 2, 10, 556)
            }
            "reject_non_fqdn_recipient" | "reject_unknown_recipient_domain" => Flow::Next,
            _ => return None,
        };
        Some(flow)
    }

    fn invalid_helo(&mut self) -> Flow {
        let Some(scope) = self.helo_scope() else { return Flow::Next };
        let name = scope.name.trim_end_matches('.');
        let text = if name.starts_with('[') {
            return self.literal_helo(&scope);
        } else if is_hostname(name) || name.parse::<std::net::IpAddr>().is_ok() {
            return Flow::Next;
        } else {
            "Invalid name"
        };
        self.class_refusal(self.policy.invalid_hostname_code, Dsn::new(5, 5, 2), text, &scope)
    }

    /// `[address]` in place of a name.
    fn literal_helo(&mut self, scope: &Scope) -> Flow {
        if literal(&scope.name).is_some() {
            return Flow::Next;
        }
        let code = self.policy.invalid_hostname_code;
        self.class_refusal(code, Dsn::new(5, 5, 2), "invalid ip address", scope)
    }

    fn non_fqdn_helo(&mut self) -> Flow {
        let Some(scope) = self.helo_scope() else { return Flow::Next };
        let name = scope.name.trim_end_matches('.');
        if name.starts_with('[') {
            return self.literal_helo(&scope);
        }
        if is_hostname(name) && name.contains('.') {
            return Flow::Next;
        }
        self.class_refusal(
            self.policy.non_fqdn_code,
            Dsn::new(5, 5, 2),
            "need fully-qualified hostname",
            &scope,
        )
    }

    fn unknown_helo(&mut self) -> Flow {
        let Some(scope) = self.helo_scope() else { return Flow::Next };
        if scope.name.starts_with('[') {
            return self.literal_helo(&scope);
        }
        match self.reach(&scope.name) {
            Reach::Yes | Reach::NullMx => Flow::Next,
            Reach::No => self.class_refusal(
                self.policy.unknown_hostname_code,
                Dsn::new(4, 7, 1),
                "Host not found",
                &scope,
            ),
            Reach::Unknown => {
                let refusal = self.in_scope(450, Dsn::new(4, 7, 1), "Host not found", &scope);
                self.tempfail(self.policy.helo_tempfail, refusal)
            }
        }
    }

    pub(crate) fn tempfail(&mut self, action: TempfailAction, refusal: Refusal) -> Flow {
        match action {
            TempfailAction::DeferIfPermit => self.defer_if_permit(refusal),
            TempfailAction::Defer => self.refuse(refusal),
        }
    }

    fn non_fqdn_address(&mut self, scope: &Scope) -> Flow {
        if scope.name.is_empty() {
            return Flow::Next;
        }
        let domain = mail_address::split(&scope.name).1.unwrap_or("").trim_end_matches('.');
        if domain.starts_with('[') || (domain.contains('.') && is_hostname(domain)) {
            return Flow::Next;
        }
        self.class_refusal(
            self.policy.non_fqdn_code,
            Dsn::new(4, 5, 2),
            "need fully-qualified address",
            scope,
        )
    }

    fn unknown_domain(&mut self, scope: &Scope, detail: u16, null_detail: u16, null_code: u16) -> Flow {
        if scope.name.is_empty() {
            return Flow::Next;
        }
        let resolved = self.world.resolve(&scope.name);
        if resolved.failed {
            return self.lookup_failure(&scope.name);
        }
        let is_final = matches!(resolved.class, Class::Local | Class::VirtualAlias | Class::VirtualMailbox);
        let domain = mail_address::split(&resolved.recipient).1.unwrap_or("").to_owned();
        if is_final || domain.is_empty() || domain.starts_with('[') {
            return Flow::Next;
        }
        let dsn = Dsn::new(4, 1, detail);
        match self.reach(&domain) {
            Reach::Yes => Flow::Next,
            Reach::No => self.class_refusal(self.policy.unknown_address_code, dsn, "Domain not found", scope),
            Reach::NullMx => {
                let subject = if detail == 8 { 7 } else { 1 };
                let text = format!("Domain {domain} does not accept mail (nullMX)");
                self.class_refusal(null_code, Dsn::new(4, subject, null_detail), &text, scope)
            }
            Reach::Unknown => {
                let refusal = self.in_scope(450, dsn, "Domain not found", scope);
                self.tempfail(self.policy.address_tempfail, refusal)
            }
        }
    }

    fn reach(&mut self, name: &str) -> Reach {
        // What is no host name, with a dot at its end for example, is not asked for.
        if !is_hostname(name) {
            return Reach::No;
        }
        let mx = self.world.hosts(name, Record::Mx);
        match &mx {
            Dns::Found(_) => return Reach::Yes,
            Dns::NullMx => return Reach::NullMx,
            Dns::NotFound(_) | Dns::Temporary(_) => {}
        }
        match (self.world.addresses(name), &mx) {
            (Dns::Found(_), _) => Reach::Yes,
            (Dns::Temporary(_), _) | (_, Dns::Temporary(_)) => Reach::Unknown,
            (Dns::NotFound(_) | Dns::NullMx, _) => Reach::No,
        }
    }
}
