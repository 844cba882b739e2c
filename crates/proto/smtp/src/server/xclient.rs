//! XCLIENT and XFORWARD: attributes of a client that another program vouches for.

use std::net::IpAddr;

use super::client::{Client, NameStatus, Protocol, UNKNOWN};
use super::output::Reply;

/// Longest attribute value, bytes.
const VALUE_LIMIT: usize = 255;
/// Longest protocol name, bytes.
const PROTOCOL_LIMIT: usize = 64;

/// What XFORWARD told; `None`: not told or not available.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// `NAME`
    pub name: Option<String>,
    /// `ADDR`
    pub address: Option<String>,
    /// `PORT`
    pub port: Option<String>,
    /// `PROTO`
    pub protocol: Option<String>,
    /// `HELO`
    pub helo: Option<String>,
    /// `IDENT`
    pub ident: Option<String>,
    /// `SOURCE=REMOTE`
    pub remote: bool,
}

/// What XCLIENT changed besides the client itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overrides {
    pub helo: Option<String>,
    pub protocol: Option<Protocol>,
}

/// A value of an attribute.
enum Value {
    Text(String),
    Unavailable,
    TemporarilyUnavailable,
}

fn attribute(word: &str) -> Result<(String, Value), Reply> {
    let (name, raw) = word
        .split_once('=')
        .filter(|(name, raw)| !name.is_empty() && !raw.is_empty())
        .ok_or_else(|| Reply::new("501 5.5.4 Error: attribute=value expected"))?;
    if raw.len() > VALUE_LIMIT {
        return Err(Reply::new("501 5.5.4 Error: attribute value too long"));
    }
    let text = mail_text::xtext::decode(raw.as_bytes())
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .unwrap_or_else(|| raw.to_owned());
    let text = mail_text::printable::printable(text.as_bytes(), true);
    let value = match text.to_ascii_uppercase().as_str() {
        "[UNAVAILABLE]" => Value::Unavailable,
        "[TEMPUNAVAIL]" => Value::TemporarilyUnavailable,
        _ => Value::Text(text),
    };
    Ok((name.to_ascii_uppercase(), value))
}

fn bad(what: &str, text: &str) -> Reply {
    Reply::new(format!("501 5.5.4 Bad {what} syntax: {text}"))
}

fn address(text: &str) -> Result<String, Reply> {
    let plain = text
        .get(..5)
        .filter(|prefix| prefix.eq_ignore_ascii_case("IPV6:"))
        .and_then(|_| text.get(5..))
        .unwrap_or(text);
    plain.parse::<IpAddr>().map(|ip| ip.to_string()).map_err(|_| bad("ADDR", text))
}

/// Replaces characters that an HELO name may not hold.
pub(crate) fn safe_name(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || " <>()\\\";@".contains(c) { '?' } else { c }).collect()
}

/// Applies the attributes of an XCLIENT command to `client`.
///
/// # Errors
/// The reply that refuses the command; `client` is then half changed and must be dropped.
pub(crate) fn xclient(words: &[&str], client: &mut Client) -> Result<Overrides, Reply> {
    let mut overrides = Overrides::default();
    for word in words {
        let (name, value) = attribute(word)?;
        match name.as_str() {
            "NAME" => {
                let (text, status) = host_name(value);
                client.name.clone_from(&text);
                client.name_status = status;
                client.reverse_name = text;
                client.reverse_status = status;
                client.names_given = true;
            }
            "REVERSE_NAME" => (client.reverse_name, client.reverse_status) = host_name(value),
            "ADDR" => {
                client.address = optional(value).map_or(Ok(UNKNOWN.to_owned()), |text| address(&text))?
            }
            "PORT" => client.port = port(optional(value))?,
            "HELO" => overrides.helo = optional(value).map(|text| safe_name(&text)),
            "PROTO" => overrides.protocol = Some(protocol(optional(value))?),
            "DESTADDR" => {
                client.server_address =
                    optional(value).map_or(Ok(UNKNOWN.to_owned()), |text| address(&text))?
            }
            "DESTPORT" => client.server_port = port(optional(value))?,
            // SASL is not part of this server yet; a login that another program vouches for is accepted and not used.
            "LOGIN" => {}
            _ => {
                return Err(Reply::new(format!(
                    "501 5.5.4 Bad XCLIENT attribute name: {}",
                    name_as_typed(word)
                )));
            }
        }
    }
    Ok(overrides)
}

fn name_as_typed(word: &str) -> &str {
    word.split_once('=').map_or(word, |(name, _)| name)
}

fn optional(value: Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text),
        Value::Unavailable | Value::TemporarilyUnavailable => None,
    }
}

fn host_name(value: Value) -> (String, NameStatus) {
    match value {
        Value::Text(text) => (text, NameStatus::Ok),
        Value::Unavailable => (UNKNOWN.to_owned(), NameStatus::Permanent),
        Value::TemporarilyUnavailable => (UNKNOWN.to_owned(), NameStatus::Temporary),
    }
}

fn port(text: Option<String>) -> Result<String, Reply> {
    let Some(text) = text else { return Ok(UNKNOWN.to_owned()) };
    match text.parse::<u16>() {
        Ok(_) => Ok(text),
        Err(_) => Err(bad("PORT", &text)),
    }
}

fn protocol(text: Option<String>) -> Result<Protocol, Reply> {
    let text = text.unwrap_or_else(|| "SMTP".into());
    match text.to_ascii_uppercase().as_str() {
        "SMTP" => Ok(Protocol::Smtp),
        "ESMTP" => Ok(Protocol::Esmtp),
        _ => Err(bad("PROTO", &text)),
    }
}

/// Applies the attributes of an XFORWARD command.
///
/// # Errors
/// The reply that refuses the command.
pub(crate) fn xforward(words: &[&str], forwarded: &mut Forwarded) -> Result<(), Reply> {
    for word in words {
        let (name, value) = attribute(word)?;
        let value = optional(value);
        match name.as_str() {
            "NAME" => forwarded.name = value,
            "ADDR" => forwarded.address = value.map(|text| address(&text)).transpose()?,
            "PORT" => forwarded.port = port(value).map(Some)?,
            "PROTO" => {
                if let Some(text) = &value
                    && text.len() > PROTOCOL_LIMIT
                {
                    return Err(bad("PROTO", text));
                }
                forwarded.protocol = value;
            }
            "HELO" => forwarded.helo = value.map(|text| safe_name(&text)),
            "IDENT" => forwarded.ident = value,
            "SOURCE" => {
                forwarded.remote = match value {
                    Some(word) if word.eq_ignore_ascii_case("REMOTE") => true,
                    Some(word) if !word.eq_ignore_ascii_case("LOCAL") => return Err(bad("SOURCE", &word)),
                    Some(_) | None => false,
                }
            }
            _ => {
                return Err(Reply::new(format!(
                    "501 5.5.4 Bad XFORWARD attribute name: {}",
                    name_as_typed(word)
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xclient_changes_the_client() {
        let mut client = Client::at("127.0.0.1", "1");
        let overrides = xclient(
            &["NAME=spike.example", "ADDR=IPV6:2001:db8::1", "PORT=25", "HELO=a+20b", "PROTO=ESMTP"],
            &mut client,
        )
        .unwrap();
        assert_eq!((client.text(false).as_str(), client.port.as_str()), ("spike.example[2001:db8::1]", "25"));
        assert_eq!((overrides.helo.as_deref(), overrides.protocol), (Some("a?b"), Some(Protocol::Esmtp)));
        xclient(&["NAME=[TEMPUNAVAIL]"], &mut client).unwrap();
        assert_eq!((client.name.as_str(), client.name_status), ("unknown", NameStatus::Temporary));
    }

    #[test]
    fn bad_attributes_are_refused() {
        for (word, text) in [
            ("NAME", "501 5.5.4 Error: attribute=value expected"),
            ("FOO=x", "501 5.5.4 Bad XCLIENT attribute name: FOO"),
            ("ADDR=1.2.3", "501 5.5.4 Bad ADDR syntax: 1.2.3"),
        ] {
            let reply = xclient(&[word], &mut Client::at("127.0.0.1", "1")).unwrap_err();
            assert_eq!(reply.as_str(), text);
        }
        let mut forwarded = Forwarded::default();
        xforward(&["NAME=a", "SOURCE=REMOTE", "IDENT=[UNAVAILABLE]"], &mut forwarded).unwrap();
        assert_eq!((forwarded.name.as_deref(), forwarded.remote, forwarded.ident), (Some("a"), true, None));
    }
}
