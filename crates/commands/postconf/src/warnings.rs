//! Warnings about names: undefined, unused, deprecated (`parameter-services.md` §4, §6).

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;

use host_config::Config;

use crate::Outcome;
use crate::names::{self, Names};
use crate::print::Output;
use mail_text::expand::{Options, expand};

/// Old names, and what to do instead.
const DEPRECATED: &[(&str, &str)] = &[
    ("disable_dns_lookups", "specify \"smtp_dns_support_level\""),
    ("lmtp_use_tls", "specify \"lmtp_tls_security_level\""),
    ("lmtp_enforce_tls", "lmtp_tls_security_level"),
    ("smtp_use_tls", "specify \"smtp_tls_security_level\""),
    ("smtp_enforce_tls", "specify \"smtp_tls_security_level\""),
    ("smtpd_use_tls", "specify \"smtpd_tls_security_level\""),
    ("smtpd_enforce_tls", "specify \"smtpd_tls_security_level\""),
    ("postscreen_use_tls", "specify \"postscreen_tls_security_level\""),
    ("postscreen_enforce_tls", "specify \"postscreen_tls_security_level\""),
    ("tlsproxy_use_tls", "specify \"tlsproxy_tls_security_level\""),
    ("tlsproxy_enforce_tls", "specify \"tlsproxy_tls_security_level\""),
    ("tlsproxy_client_use_tls", "specify \"tlsproxy_client_security_level\""),
    ("tlsproxy_client_enforce_tls", "specify \"tlsproxy_client_security_level\""),
    ("lmtp_tls_per_site", "specify \"lmtp_tls_policy_maps\""),
    ("smtp_tls_per_site", "specify \"smtp_tls_policy_maps\""),
    ("tlsproxy_client_per_site", "specify \"tlsproxy_client_policy_maps\""),
    ("smtpd_tls_dh1024_param_file", "do not specify (leave at default)"),
    ("smtpd_tls_eecdh_grade", "do not specify (leave at default)"),
    ("authorized_verp_clients", "specify \"smtpd_authorized_verp_clients\""),
    ("fallback_relay", "specify \"smtp_fallback_relay\""),
    ("lmtp_per_record_deadline", "specify \"lmtp_per_request_deadline\""),
    ("smtp_per_record_deadline", "specify \"smtp_per_request_deadline\""),
    ("smtpd_per_record_deadline", "specify \"smtpd_per_request_deadline\""),
    ("lmtp_tls_enforce_peername", "specify \"lmtp_tls_security_level\""),
    ("smtp_tls_enforce_peername", "specify \"smtp_tls_security_level\""),
    ("postscreen_blacklist_action", "specify \"postscreen_denylist_action\""),
    ("postscreen_dnsbl_ttl", "specify \"postscreen_dnsbl_max_ttl\""),
    ("postscreen_dnsbl_whitelist_threshold", "specify \"postscreen_dnsbl_allowlist_threshold\""),
    ("postscreen_whitelist_interfaces", "specify \"postscreen_allowlist_interfaces\""),
    ("smtpd_client_connection_limit_exceptions", "specify \"smtpd_client_event_limit_exceptions\""),
    ("tlsproxy_client_level", "specify \"tlsproxy_client_security_level\""),
    ("tlsproxy_client_policy", "specify \"tlsproxy_client_policy_maps\""),
    ("virtual_maps", "specify \"virtual_alias_maps\""),
    ("lmtp_cname_overrides_servername", "do not specify"),
    ("smtp_cname_overrides_servername", "do not specify"),
];

const SEE: &str = "See https://www.postfix.org/DEPRECATION_README.html for details";

/// What is wrong with names before anything is shown: assignments that have no effect, names with neither value nor
/// default, values that cannot be expanded, files of databases.
pub(crate) fn undefined(
    config: &Config,
    dir: &Path,
    names: &Names,
    quiet: bool,
    out: &mut Output,
) -> Outcome {
    let (main, master) = (format!("{}/main.cf", dir.display()), format!("{}/master.cf", dir.display()));
    let of_services = names.entries.iter().flat_map(|entry| &entry.read_only);
    let assignments =
        config.ignored().iter().map(|one| (&main, one)).chain(of_services.map(|one| (&master, one)));
    for (path, (name, value)) in assignments {
        out.warning(&format!("{path}: read-only parameter assignment: {name}={value}"));
    }
    for (_, value) in config.settings().iter().filter(|(name, _)| !names::is_raw(name)) {
        // Syntax only: what the names in it stand for is not looked into, and so cannot be compared.
        let syntax = expand(value, Options::default(), &|name: &str| {
            config.text(name).ok().flatten().map(Cow::into_owned)
        });
        if let Err(mistake) = syntax
            && !mistake.0.starts_with("malformed compatibility level")
        {
            out.warning(&mistake.to_string());
        }
    }
    let mut undefined: Vec<&String> = names.undefined.iter().collect();
    undefined.sort_unstable();
    let wanted = undefined.into_iter().map(|name| (&main, name));
    for (path, name) in wanted.chain(names.undefined_in_services.iter().map(|name| (&master, name))) {
        out.warning(&format!("{path}: undefined parameter: {name}"));
    }
    names.clients.iter().try_for_each(|client| client.check_file(quiet, out))
}

/// Names that nothing reads, and old ones.
pub(crate) fn unused(config: &Config, dir: &Path, names: &Names, out: &mut Output) {
    let mut old = false;
    for (name, value) in config.settings() {
        old |= report(&format!("{}/main.cf", dir.display()), name, value, names.is_used(name), out);
    }
    if unused_in_services(dir, names, out) || old {
        out.warning(SEE);
    }
}

pub(crate) fn unused_in_master(dir: &Path, names: &Names, out: &mut Output) {
    if unused_in_services(dir, names, out) {
        out.warning(SEE);
    }
}

fn unused_in_services(dir: &Path, names: &Names, out: &mut Output) -> bool {
    let path = format!("{}/master.cf", dir.display());
    let mut old = false;
    let mut seen = BTreeSet::new();
    for entry in &names.entries {
        for (name, value) in &entry.settings {
            let used = names.is_used_in(entry, name);
            if used || seen.insert((name, value)) {
                old |= report(&path, name, value, used, out);
            }
        }
    }
    old
}

/// Whether the name is an old one.
fn report(path: &str, name: &str, value: &str, used: bool, out: &mut Output) -> bool {
    let instead = DEPRECATED.iter().find(|(old, _)| *old == name).map(|(_, instead)| instead);
    match (instead, used) {
        (Some(instead), true) => {
            out.warning(&format!(
                "{path}: support for parameter \"{name}\" will be removed; instead, {instead}"
            ));
            true
        }
        (Some(instead), false) => {
            out.warning(&format!(
                "{path}: support for parameter {name} has been removed; instead, {instead}"
            ));
            true
        }
        (None, false) => {
            out.warning(&format!("{path}: unused parameter: {name}={value}"));
            false
        }
        (None, true) => false,
    }
}
