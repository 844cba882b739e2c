//! VRFY, ETRN, XCLIENT, XFORWARD.

use std::time::Instant;

use super::command::{Verb, tokens};
use super::output::Reply;
use super::session::{Question, Session};
use super::{Protocol, extract, xclient};
use crate::transcript::ErrorClass;

impl Session {
    pub(crate) fn vrfy(&mut self, arguments: &str, now: Instant) {
        let verb = Verb::Vrfy;
        if self.settings.disable_vrfy {
            return self.fail_policy(verb, "502 5.5.1 VRFY command is disabled", now);
        }
        let mut words = tokens(arguments);
        if words.is_empty() {
            let suffix = if self.settings.smtputf8 { " [SMTPUTF8]" } else { "" };
            return self.fail(verb, &format!("501 5.5.4 Syntax: VRFY address{suffix}"), now);
        }
        let smtputf8 = self.settings.smtputf8
            && words.last().is_some_and(|w| w.eq_ignore_ascii_case("SMTPUTF8"))
            && words.len() > 1;
        if smtputf8 {
            words.pop();
        }
        let typed = words.join(" ");
        let address = extract(&typed, self.settings.strict_envelopes).ok().filter(|a| !a.is_empty());
        if address.is_none() {
            self.warn(format!("Illegal address syntax from {} in VRFY command: {typed}", self.namaddr()));
        }
        self.ask(Question::Vrfy(address, typed), verb);
    }

    pub(crate) fn etrn(&mut self, arguments: &str, now: Instant) {
        let verb = Verb::Etrn;
        if self.settings.helo_required && self.helo.is_none() {
            return self.fail_policy(verb, "503 Error: send HELO/EHLO first", now);
        }
        if self.transaction.is_some() {
            return self.fail(verb, "503 Error: MAIL transaction in progress", now);
        }
        let words = tokens(arguments);
        let [domain] = words.as_slice() else { return self.fail(verb, "500 Syntax: ETRN domain", now) };
        let domain = domain.strip_prefix(['@', '#']).unwrap_or(domain);
        let literal = mail_address::hostname::literal(domain).is_some();
        if !literal && !mail_address::hostname::is_hostname(domain) {
            return self.fail(verb, "501 Error: invalid parameter syntax", now);
        }
        self.ask(Question::Etrn(domain.to_owned()), verb);
    }

    pub(crate) fn xclient(&mut self, arguments: &str, now: Instant) {
        let verb = Verb::Xclient;
        if let Err(reply) = self.may_override("XCLIENT", self.profile.xclient, arguments) {
            return self.refuse(verb, &reply.or_because_of(ErrorClass::Protocol), now);
        }
        let mut client = (*self.client).clone();
        match xclient::xclient(&tokens(arguments), &mut client) {
            Err(reply) => self.refuse(verb, &reply.or_because_of(ErrorClass::Protocol), now),
            Ok(overrides) => {
                self.reset();
                self.helo = overrides.helo.map(String::into_boxed_str);
                self.protocol = overrides.protocol.unwrap_or(Protocol::Smtp);
                self.forwarded = None;
                *self.client = client;
                // The reply is the banner of a new session, and the counters show no success.
                self.statistics.count(verb, false);
                self.ask(Question::Connect, verb);
            }
        }
    }

    fn may_override(&self, name: &str, allowed: bool, arguments: &str) -> Result<(), Reply> {
        if self.transaction.is_some() {
            return Err(Reply::new("503 5.5.1 Error: MAIL transaction in progress"));
        }
        if arguments.is_empty() {
            return Err(Reply::new(format!("501 5.5.4 Syntax: {name} attribute=value...")));
        }
        if !allowed {
            return Err(
                Reply::new("550 5.7.0 Error: insufficient authorization").because_of(ErrorClass::Policy)
            );
        }
        Ok(())
    }

    pub(crate) fn xforward(&mut self, arguments: &str, now: Instant) {
        let verb = Verb::Xforward;
        if let Err(reply) = self.may_override("XFORWARD", self.profile.xforward, arguments) {
            return self.refuse(verb, &reply.or_because_of(ErrorClass::Protocol), now);
        }
        let mut forwarded = self.forwarded.clone().unwrap_or_default();
        match xclient::xforward(&tokens(arguments), &mut forwarded) {
            Err(reply) => self.refuse(verb, &reply.or_because_of(ErrorClass::Protocol), now),
            Ok(()) => {
                self.forwarded = Some(forwarded);
                self.succeed(verb, "250 2.0.0 Ok", now);
            }
        }
    }
}
