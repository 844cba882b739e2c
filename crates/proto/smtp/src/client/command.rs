//! MAIL and RCPT commands with their parameters, in the order that the reference writes them.

use std::fmt::Write as _;

use mail_status::Notify;
use mail_text::xtext;

use super::Features;

/// Parameters of MAIL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailParameters<'a> {
    /// Content size in bytes; 0: not told.
    pub size: u64,
    /// BODY value (`8BITMIME`, `7BIT`), when the encoding is known.
    pub body: Option<&'a str>,
    /// ENVID, decoded; empty: none.
    pub envelope_id: &'a str,
    /// RET: 1 FULL, 2 HDRS, 0 none.
    pub ret: i32,
    /// SMTPUTF8.
    pub smtputf8: bool,
    /// `AUTH=<>` where the server has AUTH (`smtp_send_dummy_mail_auth`).
    pub dummy_auth: bool,
}

/// Parameters of RCPT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecipientParameters<'a> {
    /// Recorded ORCPT `type;address`, decoded; empty: none.
    pub original: &'a str,
    /// NOTIFY.
    pub notify: Notify,
}

/// `MAIL FROM:<…>` for this server. `sender` is in external form.
#[must_use]
pub fn mail_command(sender: &str, parameters: &MailParameters<'_>, server: &Features) -> String {
    let mut line = format!("MAIL FROM:<{sender}>");
    if server.size.is_some() && parameters.size > 0 {
        let _ = write!(line, " SIZE={}", parameters.size);
    }
    if let Some(body) = parameters.body.filter(|_| server.eight_bit) {
        let _ = write!(line, " BODY={body}");
    }
    if server.dsn && !parameters.envelope_id.is_empty() {
        let _ = write!(line, " ENVID={}", xtext::encode(parameters.envelope_id.as_bytes()));
    }
    match (server.dsn, parameters.ret) {
        (true, 1) => line.push_str(" RET=FULL"),
        (true, 2) => line.push_str(" RET=HDRS"),
        _ => {}
    }
    if server.smtputf8 && parameters.smtputf8 {
        line.push_str(" SMTPUTF8");
    }
    if server.auth && parameters.dummy_auth {
        line.push_str(" AUTH=<>");
    }
    line
}

/// `RCPT TO:<…>` for this server. `recipient` is in external form, `original` the recorded ORCPT or `rfc822;address`.
#[must_use]
pub fn rcpt_command(recipient: &str, parameters: RecipientParameters<'_>, server: &Features) -> String {
    let mut line = format!("RCPT TO:<{recipient}>");
    if !server.dsn {
        return line;
    }
    if let Some((kind, address)) = parameters.original.split_once(';') {
        let _ = write!(line, " ORCPT={kind};{}", xtext::encode(address.as_bytes()));
    }
    let wanted: Vec<&str> = [
        (Notify::NEVER, "NEVER"),
        (Notify::SUCCESS, "SUCCESS"),
        (Notify::FAILURE, "FAILURE"),
        (Notify::DELAY, "DELAY"),
    ]
    .into_iter()
    .filter(|&(flag, _)| parameters.notify.has(flag))
    .map(|(_, word)| word)
    .collect();
    if !wanted.is_empty() {
        let _ = write!(line, " NOTIFY={}", wanted.join(","));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_come_in_order_and_only_when_offered() {
        let all = Features {
            size: Some(0),
            eight_bit: true,
            dsn: true,
            smtputf8: true,
            extended: true,
            ..Features::default()
        };
        let parameters = MailParameters {
            size: 9,
            body: Some("8BITMIME"),
            envelope_id: "E+1",
            ret: 2,
            smtputf8: true,
            dummy_auth: true,
        };
        assert_eq!(
            mail_command("s@x", &parameters, &all),
            "MAIL FROM:<s@x> SIZE=9 BODY=8BITMIME ENVID=E+2B1 RET=HDRS SMTPUTF8"
        );
        assert_eq!(mail_command("", &parameters, &Features::default()), "MAIL FROM:<>");
        let to = RecipientParameters {
            original: "rfc822;\"a+b\"@x",
            notify: Notify(Notify::SUCCESS | Notify::DELAY),
        };
        assert_eq!(
            rcpt_command("a@x", to, &all),
            "RCPT TO:<a@x> ORCPT=rfc822;\"a+2Bb\"@x NOTIFY=SUCCESS,DELAY"
        );
        assert_eq!(rcpt_command("a@x", to, &Features::default()), "RCPT TO:<a@x>");
    }
}
