//! Parameters of MAIL and RCPT (RFC 1870, 3461, 4954, 6152, 6531).

use super::command::tokens;
use super::settings::{Keywords, Settings};
use super::transaction::{Encoding, MailCommand, RcptCommand, Ret};
use super::{Reply, extract};
use crate::transcript::ErrorClass;
use mail_status::Notify;

/// What has been announced to this client.
pub(crate) struct Offer<'a> {
    pub settings: &'a Settings,
    pub discarded: Keywords,
    pub verp: bool,
}

impl Offer<'_> {
    fn smtputf8(&self) -> bool {
        self.settings.smtputf8 && !self.discarded.has(Keywords::SMTPUTF8)
    }

    fn dsn(&self) -> Result<(), Reply> {
        if self.discarded.has(Keywords::DSN) {
            Err(Reply::new("501 5.7.1 DSN support is disabled"))
        } else {
            Ok(())
        }
    }
}

/// Parses what follows `MAIL FROM:` (the address included). The declared size, if any, comes second.
pub(crate) fn mail(text: &str, offer: &Offer<'_>) -> (MailCommand, Option<u64>, Bad) {
    let mut command = MailCommand::default();
    let mut size = None;
    let words = tokens(text);
    let address = words.first().copied().unwrap_or("");
    let Ok(sender) = extract(address, offer.settings.strict_envelopes) else {
        command.fault = Some(Reply::new("501 5.1.7 Bad sender address syntax"));
        return (command, None, Bad::Address(address.to_owned()));
    };
    command.sender = sender;
    for word in words.iter().skip(1) {
        if let Err(fault) = mail_parameter(word, &mut command, &mut size, offer) {
            command.fault = Some(fault);
            return (command, size, Bad::No);
        }
    }
    if !command.smtputf8 && domain_is_not_ascii(&command.sender) {
        command.fault = Some(Reply::new("501 5.1.7 Bad sender address syntax"));
        return (command, size, Bad::Address(address.to_owned()));
    }
    (command, size, Bad::No)
}

/// Whether the address itself is bad, which the log shows.
pub(crate) enum Bad {
    No,
    Address(String),
}

fn domain_is_not_ascii(address: &str) -> bool {
    mail_address::split(address).1.is_some_and(|domain| !domain.is_ascii())
}

fn value<'a>(word: &'a str, name: &str) -> Option<&'a str> {
    let (head, rest) = word.split_at_checked(name.len())?;
    if head.eq_ignore_ascii_case(name) { rest.strip_prefix('=') } else { None }
}

fn unsupported(word: &str) -> Reply {
    Reply::new(format!("555 5.5.4 Unsupported option: {word}"))
}

fn mail_parameter(
    word: &str,
    command: &mut MailCommand,
    size: &mut Option<u64>,
    offer: &Offer<'_>,
) -> Result<(), Reply> {
    if let Some(text) = value(word, "BODY") {
        command.encoding = Some(body(text).ok_or_else(|| unsupported(word))?);
    } else if let Some(text) = value(word, "SIZE") {
        *size = Some(parse_size(text)?);
    } else if word.eq_ignore_ascii_case("SMTPUTF8") && offer.smtputf8() {
        command.smtputf8 = true;
    } else if let Some(text) = value(word, "AUTH") {
        if command.auth.is_some() {
            return Err(Reply::new("503 5.5.4 Error: multiple AUTH= options"));
        }
        command.auth = (text != "<>").then(|| text.to_owned());
    } else if let Some(text) = value(word, "RET") {
        offer.dsn()?;
        command.ret =
            Some(ret(text, command.ret).ok_or_else(|| Reply::new("501 5.5.4 Bad RET parameter syntax"))?);
    } else if let Some(text) = value(word, "ENVID") {
        offer.dsn()?;
        let decoded = envelope_id(text).filter(|_| command.envelope_id.is_none());
        command.envelope_id =
            Some(decoded.ok_or_else(|| Reply::new("501 5.5.4 Bad ENVID parameter syntax"))?);
    } else if offer.verp && word.eq_ignore_ascii_case("XVERP") {
        command.verp = Some(offer.settings.default_verp.clone());
    } else if let Some(text) = value(word, "XVERP").filter(|_| offer.verp) {
        command.verp = Some(verp(text, &offer.settings.verp_delimiters)?);
    } else {
        return Err(unsupported(word));
    }
    Ok(())
}

fn body(text: &str) -> Option<Encoding> {
    match text.to_ascii_uppercase().as_str() {
        "8BITMIME" => Some(Encoding::EightBit),
        "7BIT" => Some(Encoding::SevenBit),
        _ => None,
    }
}

fn parse_size(text: &str) -> Result<u64, Reply> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Reply::new("501 5.5.4 Bad message size syntax"));
    }
    // The reference counts in a signed 64 bit integer.
    text.parse::<i64>().ok().and_then(|size| u64::try_from(size).ok()).ok_or_else(|| {
        Reply::new("552 5.3.4 Message size exceeds file system imposed limit").because_of(ErrorClass::Policy)
    })
}

fn ret(text: &str, before: Option<Ret>) -> Option<Ret> {
    match (before, text.to_ascii_uppercase().as_str()) {
        (None, "FULL") => Some(Ret::Full),
        (None, "HDRS") => Some(Ret::Headers),
        (_, _) => None,
    }
}

fn envelope_id(text: &str) -> Option<String> {
    let decoded = mail_text::xtext::decode(text.as_bytes())?;
    let decoded = String::from_utf8(decoded).ok()?;
    (!decoded.is_empty() && decoded.bytes().all(|b| (32..127).contains(&b))).then_some(decoded)
}

fn verp(text: &str, allowed: &str) -> Result<String, Reply> {
    if text.chars().count() == 2 && text.chars().all(|c| allowed.contains(c)) {
        return Ok(text.to_owned());
    }
    Err(Reply::new(format!("501 5.5.4 Error: XVERP needs two characters from {allowed}")))
}

/// Parses what follows `RCPT TO:`.
pub(crate) fn rcpt(text: &str, smtputf8: bool, offer: &Offer<'_>) -> (RcptCommand, Bad) {
    let mut command = RcptCommand::default();
    let words = tokens(text);
    let address = words.first().copied().unwrap_or("");
    match extract(address, offer.settings.strict_envelopes) {
        Ok(recipient) if !recipient.is_empty() && (smtputf8 || !domain_is_not_ascii(&recipient)) => {
            command.recipient = recipient
        }
        Ok(_) | Err(_) => {
            command.fault = Some(Reply::new("501 5.1.3 Bad recipient address syntax"));
            return (command, Bad::Address(address.to_owned()));
        }
    }
    for word in words.iter().skip(1) {
        if let Err(fault) = rcpt_parameter(word, &mut command, offer) {
            command.fault = Some(fault);
            break;
        }
    }
    (command, Bad::No)
}

fn rcpt_parameter(word: &str, command: &mut RcptCommand, offer: &Offer<'_>) -> Result<(), Reply> {
    if let Some(text) = value(word, "NOTIFY") {
        offer.dsn()?;
        let flags = notify(text).filter(|_| command.notify == 0);
        command.notify = flags.ok_or_else(|| Reply::new("501 5.5.4 Error: Bad NOTIFY parameter syntax"))?;
    } else if let Some(text) = value(word, "ORCPT") {
        offer.dsn()?;
        let decoded = original_recipient(text).filter(|_| command.original.is_none());
        command.original =
            Some(decoded.ok_or_else(|| Reply::new("501 5.5.4 Error: Bad ORCPT parameter syntax"))?);
    } else {
        return Err(unsupported(word));
    }
    Ok(())
}

fn notify(text: &str) -> Option<u32> {
    let mut flags = 0;
    for word in text.split(',') {
        let flag = match word.to_ascii_uppercase().as_str() {
            "NEVER" => Notify::NEVER,
            "SUCCESS" => Notify::SUCCESS,
            "FAILURE" => Notify::FAILURE,
            "DELAY" => Notify::DELAY,
            _ => return None,
        };
        if flags & flag != 0 {
            return None;
        }
        flags |= flag;
    }
    (flags & Notify::NEVER == 0 || flags == Notify::NEVER).then_some(flags)
}

/// `type;address`: xtext decoded, for `utf-8` also the `\x{…}` escapes (RFC 6533 §3).
fn original_recipient(text: &str) -> Option<String> {
    let (kind, encoded) = text.split_once(';')?;
    if kind.is_empty() || !kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return None;
    }
    let decoded = if kind.eq_ignore_ascii_case("utf-8") {
        unitext(encoded)?
    } else {
        String::from_utf8(mail_text::xtext::decode(encoded.as_bytes())?).ok()?
    };
    if decoded.chars().any(char::is_control) {
        return None;
    }
    Some(format!("{kind};{decoded}"))
}

fn unitext(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x{") {
        let (digits, tail) = after.split_once('}')?;
        out.push_str(before);
        out.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
        rest = tail;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(settings: &Settings) -> Offer<'_> {
        Offer { settings, discarded: Keywords::default(), verp: true }
    }

    #[test]
    fn each_mail_parameter_and_its_errors() {
        let settings = Settings::sample();
        for (text, fault) in [
            ("<a@b>", ""),
            ("<a@b> BODY=8bitmime SIZE=1 SMTPUTF8 RET=HDRS ENVID=a+2Bb AUTH=<>", ""),
            ("<a@b> BODY=BINARYMIME", "555 5.5.4 Unsupported option: BODY=BINARYMIME"),
            ("<a@b> SIZE=", "501 5.5.4 Bad message size syntax"),
            (
                "<a@b> SIZE=99999999999999999999999",
                "552 5.3.4 Message size exceeds file system imposed limit",
            ),
            ("<a@b> RET=FULL RET=FULL", "501 5.5.4 Bad RET parameter syntax"),
            ("<a@b> ENVID=abc+2", "501 5.5.4 Bad ENVID parameter syntax"),
            ("<a@b> ENVID=a+0Ab", "501 5.5.4 Bad ENVID parameter syntax"),
            ("<a@b> AUTH=a AUTH=b", "503 5.5.4 Error: multiple AUTH= options"),
            ("<a@b> XVERP=ab", "501 5.5.4 Error: XVERP needs two characters from -=+"),
            ("<a@\u{e4}.example>", "501 5.1.7 Bad sender address syntax"),
            ("<\u{e4}@b>", ""),
        ] {
            let (command, _, _) = mail(text, &offer(&settings));
            assert_eq!(command.fault.as_ref().map_or("", Reply::as_str), fault, "{text}");
        }
        let (command, size, _) = mail("<a@b> SIZE=17 ENVID=x+2By XVERP", &offer(&settings));
        assert_eq!(
            (size, command.envelope_id.as_deref(), command.verp.as_deref()),
            (Some(17), Some("x+y"), Some("+="))
        );
    }

    #[test]
    fn each_rcpt_parameter_and_its_errors() {
        let settings = Settings::sample();
        for (text, fault) in [
            ("<a@b> NOTIFY=NEVER", ""),
            ("<a@b> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;", ""),
            ("<a@b> NOTIFY=NEVER,FAILURE", "501 5.5.4 Error: Bad NOTIFY parameter syntax"),
            ("<a@b> NOTIFY=", "501 5.5.4 Error: Bad NOTIFY parameter syntax"),
            ("<a@b> ORCPT=x", "501 5.5.4 Error: Bad ORCPT parameter syntax"),
            ("<a@b> FOO", "555 5.5.4 Unsupported option: FOO"),
            ("<>", "501 5.1.3 Bad recipient address syntax"),
        ] {
            let (command, _) = rcpt(text, false, &offer(&settings));
            assert_eq!(command.fault.as_ref().map_or("", Reply::as_str), fault, "{text}");
        }
        let (command, _) = rcpt("<a@b> ORCPT=rfc822;x+2By@c", false, &offer(&settings));
        assert_eq!(command.original.as_deref(), Some("rfc822;x+y@c"));
        let (command, _) = rcpt("<a@b> ORCPT=utf-8;\\x{e4}@c", false, &offer(&settings));
        assert_eq!(command.original.as_deref(), Some("utf-8;\u{e4}@c"));
    }
}
