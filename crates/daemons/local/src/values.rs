//! `$name` in forward_path, luser_relay and command directories, and the environment of commands.

use std::ffi::OsString;

use host_delivery::DeliveryRequest;
use mail_text::expand::{self, Options};
use os_sys::identity::User;

use crate::state::State;

/// Where names take their values from.
pub(crate) struct Values<'a> {
    pub(crate) state: &'a State,
    pub(crate) request: &'a DeliveryRequest,
    pub(crate) user: Option<&'a User>,
}

impl Values<'_> {
    /// The value of a name; `None` if it has none here.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        let state = self.state;
        let request = self.request;
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        match name {
            "home" => self.user.map(|user| user.home.display().to_string()),
            "shell" => self.user.and_then(|user| some(&user.shell)),
            "user" => some(&state.user),
            "local" => some(&state.local),
            "domain" => some(&state.domain),
            "recipient" => some(&state.recipient.recipient),
            "extension" => state.extension.clone(),
            "recipient_delimiter" => some(&state.delimiter),
            "sender" => some(&request.sender),
            "original_recipient" => some(&state.recipient.original_recipient),
            "client_address" => some(&request.log_client_address),
            "client_helo" => some(&request.log_helo_name),
            "client_hostname" => some(&request.log_client_name),
            "client_port" => some(&request.log_client_port),
            "client_protocol" => some(&request.log_protocol_name),
            "envid" => some(&request.envelope_id),
            "sasl_method" => some(&request.sasl_method),
            "sasl_sender" => some(&request.sasl_sender),
            "sasl_username" => some(&request.sasl_username),
            _ => None,
        }
    }

    /// Expands a template; `Ok(None)`: a name has no value.
    pub(crate) fn expand(
        &self,
        template: &str,
        allowed: Option<&str>,
    ) -> Result<Option<String>, expand::ExpandError> {
        let options = Options { recursive: false, allowed };
        expand::expand_defined(template, options, &|name: &str| self.value(name))
    }

    /// The environment of a command. Characters outside of `allowed` become `_`.
    pub(crate) fn environment(
        &self,
        allowed: &str,
        exported: &[(OsString, OsString)],
    ) -> Vec<(OsString, OsString)> {
        let names = [
            ("HOME", "home"),
            ("LOGNAME", "user"),
            ("USER", "user"),
            ("SHELL", "shell"),
            ("LOCAL", "local"),
            ("DOMAIN", "domain"),
            ("EXTENSION", "extension"),
            ("RECIPIENT", "recipient"),
            ("ORIGINAL_RECIPIENT", "original_recipient"),
            ("SENDER", "sender"),
            ("CLIENT_ADDRESS", "client_address"),
            ("CLIENT_HELO", "client_helo"),
            ("CLIENT_HOSTNAME", "client_hostname"),
            ("CLIENT_PROTOCOL", "client_protocol"),
            ("ENVID", "envid"),
            ("SASL_METHOD", "sasl_method"),
            ("SASL_SENDER", "sasl_sender"),
            ("SASL_USERNAME", "sasl_username"),
        ];
        let mut environment: Vec<(OsString, OsString)> = exported.to_vec();
        environment.push(("PATH".into(), "/usr/bin:/bin".into()));
        for (variable, name) in names {
            let value = self.value(name).unwrap_or_default();
            if value.is_empty() && variable != "SENDER" {
                continue;
            }
            let clean: String = value.chars().map(|c| if allowed.contains(c) { c } else { '_' }).collect();
            environment.push((variable.into(), clean.into()));
        }
        environment
    }
}
