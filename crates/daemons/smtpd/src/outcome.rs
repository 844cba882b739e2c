//! What cleanup made of a message, as a reply.

use proto_ipc::cleanup::{self, status};
use proto_smtp::server::{Reply, Session};
use proto_smtp::transcript::ErrorClass;

pub(crate) fn write_error() -> Reply {
    Reply::new("451 4.3.0 Error: queue file write error").because_of(ErrorClass::Resource)
}

/// The reply at the end of a message.
pub(crate) fn result(reply: Option<&cleanup::Reply>, id: &str, session: &Session) -> Reply {
    let Some(reply) = reply else { return write_error() };
    let reason = reply.reason.as_str();
    let or = |default: &str| if reason.is_empty() { default.to_owned() } else { reason.to_owned() };
    if reply.status == 0 {
        if session.by_bdat() {
            return Reply::new(format!("250 2.0.0 Ok: {} bytes queued as {id}", session.content_bytes()));
        }
        return Reply::new(format!("250 2.0.0 Ok: queued as {id}"));
    }
    let internal = || format!("451 4.3.0 Error: internal error {}", reply.status);
    let bits = [
        (
            status::DEFER,
            ErrorClass::Resource,
            format!("451 {}", with_status(&or("Error: service unavailable"), "4.7.1")),
        ),
        (status::PROXY, ErrorClass::Resource, "451 4.3.0 Error: queue file write error".to_owned()),
        (status::BAD, ErrorClass::Software, internal()),
        (status::RECIPIENTS, ErrorClass::Software, internal()),
        (status::HOPS, ErrorClass::Bounce, "554 5.4.0 Error: too many hops".to_owned()),
        (status::SIZE, ErrorClass::Bounce, "552 5.3.4 Error: message file too big".to_owned()),
        (
            status::CONTENT,
            ErrorClass::Policy,
            format!("550 {}", with_status(&or("Error: message content rejected"), "5.7.1")),
        ),
    ];
    let found = bits.into_iter().find(|(bit, _, _)| reply.status & bit != 0);
    let Some((_, class, text)) = found else {
        return if is_whole_reply(reason) {
            write_error().with_text(reason.to_owned())
        } else {
            write_error()
        };
    };
    let text = if is_whole_reply(reason) { reason.to_owned() } else { text };
    Reply::new(text).because_of(class)
}

fn is_whole_reply(text: &str) -> bool {
    let mut bytes = text.bytes();
    matches!((bytes.next(), bytes.next(), bytes.next(), bytes.next()), (Some(b'4' | b'5'), Some(b), Some(c), Some(b' ' | b'-')) if b.is_ascii_digit() && c.is_ascii_digit())
}

fn with_status(text: &str, default: &str) -> String {
    if mail_status::Dsn::split(text).is_some() { text.to_owned() } else { format!("{default} {text}") }
}
