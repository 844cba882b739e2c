//! What a session must know of the configuration: values already expanded and checked.

use std::sync::Arc;
use std::time::Duration;

pub use crate::keywords::Keywords;
use crate::transcript::ErrorClasses;

/// Tells whether a word is in a list of the configuration.
pub type Matcher = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Replaces a command line, or not (`postconf(5) smtpd_command_filter`).
pub type Filter = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Tells the local time as text.
pub type Clock = Arc<dyn Fn() -> String + Send + Sync>;

/// `postconf(5) smtpd_forbid_bare_newline`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BareNewline {
    /// Any line end will do, for the end of the message too.
    Allow,
    /// Only CRLF.CRLF ends a message; a bare LF ends a line.
    Normalize,
    /// As `Normalize`, noted in the log at disconnect.
    Note,
    /// Refused.
    Reject,
}

/// The parameters of a session, shared by all.
#[derive(Clone)]
pub struct Settings {
    /// `myhostname`.
    pub myhostname: String,
    /// `smtpd_banner`.
    pub banner: String,
    /// `smtpd_timeout`.
    pub timeout: Duration,
    /// `smtpd_per_request_deadline`.
    pub per_request_deadline: bool,
    /// `smtpd_min_data_rate`, bytes a second.
    pub min_data_rate: u64,
    /// `line_length_limit`, bytes.
    pub line_length_limit: usize,
    /// `message_size_limit`, bytes; 0 = none.
    pub message_size_limit: u64,
    /// `smtpd_hard_error_limit`.
    pub hard_error_limit: u32,
    /// `smtpd_soft_error_limit`.
    pub soft_error_limit: u32,
    /// `smtpd_error_sleep_time`.
    pub error_sleep: Duration,
    /// `smtpd_junk_command_limit`.
    pub junk_command_limit: u32,
    /// `smtpd_recipient_limit`.
    pub recipient_limit: u32,
    /// `smtpd_recipient_overshoot_limit`.
    pub recipient_overshoot_limit: u32,
    /// `smtpd_helo_required`.
    pub helo_required: bool,
    /// Whether HELO and EHLO are to be asked about (restrictions without `smtpd_delay_reject`).
    pub ask_helo: bool,
    /// Whether DATA is to be asked about (`smtpd_data_restrictions`).
    pub ask_data: bool,
    /// `disable_vrfy_command`.
    pub disable_vrfy: bool,
    /// `strict_rfc821_envelopes`.
    pub strict_envelopes: bool,
    /// `smtputf8_enable`.
    pub smtputf8: bool,
    /// Whether input that comes too early is noticed (not on standard input).
    pub notices_pipelining: bool,
    /// `smtpd_forbid_unauth_pipelining`.
    pub forbid_unauth_pipelining: bool,
    /// `smtpd_forbid_bare_newline_reject_code`.
    pub bare_newline_code: u16,
    /// `soft_bounce`.
    pub soft_bounce: bool,
    /// `smtpd_reject_footer`, raw.
    pub reject_footer: String,
    /// Whether the driver has a word in rejecting replies (`smtpd_reject_footer_maps`, `smtpd_reject_filter_maps`).
    pub reply_filter: Option<Filter>,
    /// `smtpd_reject_footer_maps`: the footer for a reply.
    pub footer_maps: Option<Filter>,
    /// `smtpd_noop_commands`.
    pub noop_commands: Matcher,
    /// `smtpd_forbidden_commands`.
    pub forbidden_commands: Matcher,
    /// `smtpd_command_filter`.
    pub command_filter: Option<Filter>,
    /// `verp_delimiter_filter`.
    pub verp_delimiters: String,
    /// `notify_classes`: errors whose transcript somebody wants.
    pub notice_classes: ErrorClasses,
    /// `smtpd_history_flush_threshold`, lines.
    pub history_limit: u32,
    /// `smtpd_client_port_logging`.
    pub port_logging: bool,
    /// `default_verp_delimiters`.
    pub default_verp: String,
    /// Local time as text, for `$localtime` of a footer.
    pub local_time: Option<Clock>,
}

#[cfg(test)]
impl Settings {
    /// The built-in defaults, for tests.
    pub(crate) fn sample() -> Self {
        Self {
            myhostname: "mx.example".into(),
            banner: "mx.example ESMTP Postfix".into(),
            timeout: Duration::from_secs(300),
            per_request_deadline: false,
            min_data_rate: 500,
            line_length_limit: 2048,
            message_size_limit: 10_240_000,
            hard_error_limit: 20,
            soft_error_limit: 10,
            error_sleep: Duration::from_secs(1),
            junk_command_limit: 100,
            recipient_limit: 1000,
            recipient_overshoot_limit: 1000,
            helo_required: false,
            ask_helo: false,
            ask_data: false,
            disable_vrfy: false,
            strict_envelopes: false,
            smtputf8: true,
            notices_pipelining: true,
            forbid_unauth_pipelining: true,
            bare_newline_code: 550,
            soft_bounce: false,
            reject_footer: String::new(),
            reply_filter: None,
            footer_maps: None,
            noop_commands: Arc::new(|_| false),
            forbidden_commands: Arc::new(|verb| {
                ["CONNECT", "GET", "POST"].iter().any(|w| w.eq_ignore_ascii_case(verb))
            }),
            command_filter: None,
            verp_delimiters: "-=+".into(),
            notice_classes: ErrorClasses::default(),
            history_limit: 100,
            port_logging: false,
            default_verp: "+=".into(),
            local_time: None,
        }
    }
}
