//! Where a recipient goes after its address was resolved: the queue manager's own decisions before scheduling.

/// What the resolver said about a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// A transport, a next hop and the recipient to deliver to; `local`: the address class is the local domain.
    Resolved {
        /// Service name of the delivery agent.
        transport: String,
        /// Next-hop destination.
        nexthop: String,
        /// The recipient in internal form.
        recipient: String,
        /// Address class `mydestination`.
        local: bool,
    },
    /// A table could not answer.
    Failed,
    /// The address cannot be parsed.
    BadAddress,
}

/// Message properties and settings that override the resolver.
#[derive(Clone, Copy, Debug)]
pub struct RoutePolicy<'a> {
    /// `postsuper -e` without defer log.
    pub force_expire: bool,
    /// `double_bounce_sender`, the local part.
    pub double_bounce: &'a str,
    /// `defer_transports`, unless overridden by a flush.
    pub deferred_transports: &'a [String],
    /// More address probes than `address_verify_pending_request_limit`.
    pub too_many_probes: bool,
}

/// The decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Schedule it.
    Deliver {
        /// Service name.
        transport: String,
        /// Next hop; for `error` and `retry` the status and reason.
        nexthop: String,
        /// The recipient in internal form.
        recipient: String,
    },
    /// Mail to the double-bounce address: the queue manager drops it itself.
    DiscardDoubleBounce,
}

const ERROR: &str = "error";
const RETRY: &str = "retry";

/// The route of `address` (internal form), in the order of the manual: resolver trouble, expiry, double bounce, deferred
/// transports, probe limit.
#[must_use]
pub fn route(address: &str, resolution: Resolution, policy: &RoutePolicy<'_>) -> Route {
    let to = |transport: &str, text: &str, recipient: String| Route::Deliver {
        transport: transport.to_owned(),
        nexthop: text.to_owned(),
        recipient,
    };
    let (transport, nexthop, recipient, local) = match resolution {
        Resolution::Failed => return to(RETRY, "4.3.0 address resolver failure", address.to_owned()),
        Resolution::BadAddress => return to(ERROR, "5.1.3 bad address syntax", address.to_owned()),
        Resolution::Resolved { transport, nexthop, recipient, local } => {
            (transport, nexthop, recipient, local)
        }
    };
    if recipient.is_empty() {
        return to(ERROR, "5.1.3 null recipient address", recipient);
    }
    if policy.force_expire {
        return to(RETRY, "4.7.0 message is administratively expired", recipient);
    }
    let local_part = recipient.rsplit_once('@').map_or(recipient.as_str(), |(local, _)| local);
    if local && local_part.eq_ignore_ascii_case(policy.double_bounce) {
        return Route::DiscardDoubleBounce;
    }
    if policy.deferred_transports.contains(&transport) {
        return to(RETRY, "4.3.2 deferred transport", recipient);
    }
    if policy.too_many_probes {
        return to(RETRY, "4.3.2 Too many address verification requests", recipient);
    }
    Route::Deliver { transport, nexthop, recipient }
}

/// The name under which the concurrency of a destination is kept: the next hop, or, for a transport with one recipient
/// a request, the mailbox, so that two deliveries to one mailbox do not get in each other's way.
#[must_use]
pub fn destination_key(
    transport: &str,
    nexthop: &str,
    recipient: &str,
    recipient_limit: u32,
    local_part: impl FnOnce(&str) -> String,
) -> String {
    if recipient_limit == 1 && transport != ERROR && transport != RETRY {
        let user = recipient.rsplit_once('@').map_or(recipient, |(local, _)| local);
        return format!("{}@{nexthop}", local_part(user)).to_lowercase();
    }
    nexthop.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(transport: &str, recipient: &str, local: bool) -> Resolution {
        Resolution::Resolved {
            transport: transport.into(),
            nexthop: "hop".into(),
            recipient: recipient.into(),
            local,
        }
    }

    #[test]
    fn each_override_in_its_order() {
        let deferred = ["uucp".to_owned()];
        let plain = RoutePolicy {
            force_expire: false,
            double_bounce: "double-bounce",
            deferred_transports: &deferred,
            too_many_probes: false,
        };
        let expired = RoutePolicy { force_expire: true, ..plain };
        let probes = RoutePolicy { too_many_probes: true, ..plain };
        for (resolution, policy, expected) in [
            (resolved("smtp", "a@b", false), plain, "smtp:hop"),
            (Resolution::Failed, expired, "retry:4.3.0 address resolver failure"),
            (Resolution::BadAddress, expired, "error:5.1.3 bad address syntax"),
            (resolved("smtp", "", false), expired, "error:5.1.3 null recipient address"),
            (resolved("smtp", "a@b", false), expired, "retry:4.7.0 message is administratively expired"),
            (resolved("uucp", "a@b", false), plain, "retry:4.3.2 deferred transport"),
            (resolved("uucp", "a@b", false), probes, "retry:4.3.2 deferred transport"),
            (resolved("smtp", "a@b", false), probes, "retry:4.3.2 Too many address verification requests"),
            (resolved("local", "Double-Bounce@b", true), plain, "discard"),
            (resolved("smtp", "double-bounce@b", false), plain, "smtp:hop"),
        ] {
            let got = match route("a@b", resolution.clone(), &policy) {
                Route::Deliver { transport, nexthop, .. } => format!("{transport}:{nexthop}"),
                Route::DiscardDoubleBounce => "discard".to_owned(),
            };
            assert_eq!(got, expected, "{resolution:?}");
        }
    }

    #[test]
    fn one_recipient_transports_queue_by_mailbox() {
        let base = |user: &str| user.split('+').next().unwrap_or_default().to_owned();
        for (transport, limit, key) in [
            ("local", 1, "user@host.example"),
            ("smtp", 50, "host.example"),
            ("error", 1, "host.example"),
            ("retry", 1, "host.example"),
        ] {
            assert_eq!(destination_key(transport, "Host.example", "User+x@d", limit, base), key);
        }
    }
}
