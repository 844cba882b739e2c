//! Tells the postmaster of sessions with errors (`postconf(5) notify_classes`).

use engine_restrict::Cause;
use host_delivery::postmaster::Heading;
use proto_smtp::server::{Reply, Session};
use proto_smtp::transcript::ErrorClass;

use crate::services::Services;

/// What a restriction says, and the class of the error.
pub(crate) fn rejection(text: String, cause: Cause) -> Reply {
    Reply::new(text).because_of(match cause {
        Cause::Policy => ErrorClass::Policy,
        Cause::Unknown => ErrorClass::Bounce,
        Cause::Lookup => ErrorClass::Data,
        Cause::Configuration => ErrorClass::Software,
    })
}

/// Mails what there is to tell of the session. May block.
pub(crate) fn send(services: &Services, session: &mut Session) {
    let notices = session.take_notices();
    if notices.is_empty() {
        return;
    }
    let subject = format!("SMTP server: errors from {}", session.namaddr());
    for notice in &notices {
        // With an unknown recipient among the errors all go to who hears of bounces, asked for or not.
        let postmaster = &services.postmaster;
        let to = if notice.classes.has(ErrorClass::Bounce) {
            &postmaster.bounce_recipient
        } else {
            &postmaster.error_recipient
        };
        postmaster.send(Heading { to, subject: &subject, opening: None }, notice);
    }
}
