//! access(5): what the right-hand side of a table wants.

use mail_status::Dsn;

use crate::evaluate::{Evaluator, Flow, Refusal, Scope, Verdict};
use crate::stages::mapped;

impl Evaluator<'_> {
    /// Carries the result of a table out. `datum`: the key that was found, for warnings.
    pub(crate) fn action(&mut self, table: &str, value: &str, datum: &str, scope: &Scope) -> Flow {
        let value = value.trim();
        let (word, text) = value.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((value, ""));
        let text = text.trim();
        if word.is_empty() {
            self.world.warn(format!("access table {table} entry \"{datum}\" has empty value"));
            return Flow::Permit;
        }
        if value.bytes().all(|b| b.is_ascii_digit()) {
            self.log_permit(value, scope, table);
            return Flow::Permit;
        }
        match word.to_ascii_uppercase().as_str() {
            "DUNNO" => Flow::Next,
            "OK" | "RELAY" => {
                self.log_permit(word, scope, table);
                Flow::Permit
            }
            "REJECT" => self.told(self.policy.access_reject_code, text, "Access denied", scope),
            "DEFER" => self.told(self.policy.access_defer_code, text, "Access denied", scope),
            "DEFER_IF_PERMIT" => {
                let refusal = self.refusal(450, text, "Service unavailable", scope);
                self.defer_if_permit(refusal)
            }
            "DEFER_IF_REJECT" => {
                let refusal = self.refusal(450, text, "Service unavailable", scope);
                self.defer_if_reject(refusal)
            }
            "HANGUP" => {
                self.world.decision("hangup", if text.is_empty() { "Access denied" } else { text });
                Flow::Stop(Verdict::Hangup)
            }
            "INFO" | "WARN" => {
                self.world.decision(&word.to_ascii_lowercase(), text);
                Flow::Next
            }
            "PREPEND" => self.prepend(text, table, datum),
            "HOLD" | "DISCARD" | "FILTER" | "REDIRECT" | "BCC" => {
                self.effect(&word.to_ascii_uppercase(), text, (table, datum), scope)
            }
            _ => self.code_or_list(table, value, word, text, datum, scope),
        }
    }

    fn told(&mut self, code: u16, text: &str, default: &str, scope: &Scope) -> Flow {
        let refusal = self.refusal(code, text, default, scope);
        self.refuse(refusal)
    }

    fn refusal(&mut self, code: u16, text: &str, default: &str, scope: &Scope) -> Refusal {
        let (dsn, text) = match Dsn::split(text) {
            Some((dsn, rest)) => (dsn, rest),
            None => (Dsn::new(5, 7, 1), text),
        };
        let mapped = mapped(dsn, scope.class);
        if mapped != dsn {
            self.world.info(format!("mapping DSN status {dsn} into {} status {mapped}", scope.class));
        }
        self.in_scope(code, mapped, if text.is_empty() { default } else { text }, scope)
    }

    fn code_or_list(
        &mut self,
        table: &str,
        value: &str,
        word: &str,
        text: &str,
        datum: &str,
        scope: &Scope,
    ) -> Flow {
        let is_code =
            word.len() == 3 && word.starts_with(['4', '5']) && word.bytes().all(|b| b.is_ascii_digit());
        if is_code && let Ok(code) = word.parse::<u16>() {
            return self.told(code, text, "Access denied", scope);
        }
        if value.split(mail_text::list::SEPARATORS).any(|w| w.contains(':') && !w.contains('{')) {
            self.world
                .warn(format!("access table {table} entry \"{datum}\" has malformed value \"{value}\""));
            self.world.warn("do not specify lookup tables inside SMTPD access maps".to_owned());
            self.world.warn("define a restriction class and specify its name instead".to_owned());
            return self.configuration_error();
        }
        let list = crate::List::parse(value);
        self.words(list.words(), scope)
    }

    fn prepend(&mut self, text: &str, table: &str, datum: &str) -> Flow {
        if self.facts.at_end_of_data {
            self.world.warn(format!(
                "access table {table} entry \"{datum}\": PREPEND must be used before the end of the message"
            ));
        } else if text.is_empty() || !text.contains(':') {
            self.world.warn(format!("access table {table} entry \"{datum}\" has malformed PREPEND action"));
        } else if self.facts.has_message {
            self.state.effects.prepend.push(text.to_owned());
        }
        Flow::Next
    }

    fn effect(&mut self, word: &str, text: &str, (table, datum): (&str, &str), scope: &Scope) -> Flow {
        if !self.facts.has_message {
            let text = if self.facts.etrn.is_some() {
                format!("access table {table}: action {word} is unavailable in smtpd_etrn_restrictions")
            } else {
                format!(
                    "access table {table}: with smtpd_delay_reject=no, action {word} is always skipped in Client host or Helo command restrictions"
                )
            };
            self.world.warn(text);
            return Flow::Next;
        }
        let effects = &mut self.state.effects;
        let said = match word {
            "HOLD" => {
                effects.hold = true;
                if text.is_empty() { "triggers HOLD action".to_owned() } else { text.to_owned() }
            }
            "DISCARD" => {
                effects.discard = true;
                if text.is_empty() { "triggers DISCARD action".to_owned() } else { text.to_owned() }
            }
            "FILTER" if text.contains(':') && !text.contains(' ') => {
                effects.filter = Some(text.to_owned());
                format!("triggers FILTER {text}")
            }
            "REDIRECT" if text.contains('@') => {
                effects.redirect = Some(text.to_owned());
                format!("triggers REDIRECT {text}")
            }
            "BCC" if text.contains('@') => {
                effects.bcc.push(text.to_owned());
                format!("triggers BCC {text}")
            }
            _ => {
                let need = if word == "FILTER" { "transport:destination" } else { "user@domain target" };
                self.world.warn(format!("access table {table} entry \"{datum}\" requires {need}"));
                return Flow::Next;
            }
        };
        let line = format!("<{}>: {} {said}", scope.name, scope.class);
        self.world.decision(&word.to_ascii_lowercase(), &line);
        if word == "DISCARD" { Flow::PermitAll } else { Flow::Next }
    }
}
