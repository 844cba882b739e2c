//! The parameters of restriction lists.

use crate::list::List;

/// What happens when DNS or verification cannot tell (`postconf(5) reject_tempfail_action`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TempfailAction {
    /// Reject for now, at once.
    Defer,
    /// Reject for now unless a later restriction rejects for good.
    DeferIfPermit,
}

impl TempfailAction {
    /// The action of a parameter value (`defer_if_permit`, `defer`; with or without a leading code, anything else defers).
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if text.trim().eq_ignore_ascii_case("defer_if_permit") { Self::DeferIfPermit } else { Self::Defer }
    }
}

/// Lists and codes, resolved from the configuration once.
#[derive(Clone, Debug)]
pub struct Policy {
    /// `smtpd_client_restrictions`
    pub client: List,
    /// `smtpd_helo_restrictions`
    pub helo: List,
    /// `smtpd_sender_restrictions`
    pub sender: List,
    /// `smtpd_relay_restrictions`
    pub relay: List,
    /// `smtpd_recipient_restrictions`
    pub recipient: List,
    /// `smtpd_etrn_restrictions`
    pub etrn: List,
    /// `smtpd_data_restrictions`
    pub data: List,
    /// `smtpd_end_of_data_restrictions`
    pub end_of_data: List,
    /// `smtpd_delay_reject`
    pub delay_reject: bool,
    /// `smtpd_relay_before_recipient_restrictions`
    pub relay_first: bool,
    /// `smtpd_reject_unlisted_sender`
    pub reject_unlisted_sender: bool,
    /// `smtpd_reject_unlisted_recipient`
    pub reject_unlisted_recipient: bool,
    /// `soft_bounce`
    pub soft_bounce: bool,
    /// `allow_untrusted_routing`
    pub allow_untrusted_routing: bool,
    /// `show_user_unknown_table_name`
    pub show_table_name: bool,
    /// `recipient_delimiter`
    pub recipient_delimiter: String,
    /// `owner_request_special`
    pub owner_request_special: bool,
    /// `smtpd_null_access_lookup_key`
    pub null_sender_key: String,
    /// `smtpd_access_maps` is in `parent_domain_matches_subdomains`: `domain`, not `.domain`, also means its sub-domains.
    pub parent_style: bool,
    /// `smtpd_log_access_permit_actions`, words in lower case.
    pub log_permit: Vec<String>,
    /// `double_bounce_sender`
    pub double_bounce: String,
    /// `reject_code`
    pub reject_code: u16,
    /// `defer_code`
    pub defer_code: u16,
    /// `access_map_reject_code`
    pub access_reject_code: u16,
    /// `access_map_defer_code`
    pub access_defer_code: u16,
    /// `relay_domains_reject_code`
    pub relay_code: u16,
    /// `multi_recipient_bounce_reject_code`
    pub multi_recipient_code: u16,
    /// `unknown_client_reject_code`
    pub unknown_client_code: u16,
    /// `invalid_hostname_reject_code`
    pub invalid_hostname_code: u16,
    /// `non_fqdn_reject_code`
    pub non_fqdn_code: u16,
    /// `unknown_hostname_reject_code`
    pub unknown_hostname_code: u16,
    /// `unknown_address_reject_code`
    pub unknown_address_code: u16,
    /// `plaintext_reject_code`
    pub plaintext_code: u16,
    /// `unknown_local_recipient_reject_code`
    pub unknown_local_code: u16,
    /// `unknown_relay_recipient_reject_code`
    pub unknown_relay_code: u16,
    /// `unknown_virtual_alias_reject_code`
    pub unknown_virtual_alias_code: u16,
    /// `unknown_virtual_mailbox_reject_code`
    pub unknown_virtual_mailbox_code: u16,
    /// `unverified_sender_reject_code`
    pub unverified_sender_code: u16,
    /// `unverified_sender_defer_code`
    pub unverified_sender_defer_code: u16,
    /// `unverified_recipient_reject_code`
    pub unverified_recipient_code: u16,
    /// `unverified_recipient_defer_code`
    pub unverified_recipient_defer_code: u16,
    /// `unverified_sender_reject_reason`
    pub unverified_sender_reason: String,
    /// `unverified_recipient_reject_reason`
    pub unverified_recipient_reason: String,
    /// `unknown_helo_hostname_tempfail_action`
    pub helo_tempfail: TempfailAction,
    /// `unknown_address_tempfail_action`
    pub address_tempfail: TempfailAction,
    /// `unverified_sender_tempfail_action`
    pub sender_tempfail: TempfailAction,
    /// `unverified_recipient_tempfail_action`
    pub recipient_tempfail: TempfailAction,
}

impl Policy {
    /// The built-in defaults, with these relay restrictions.
    #[must_use]
    pub fn with_defaults() -> Self {
        Self {
            client: List::default(),
            helo: List::default(),
            sender: List::default(),
            relay: List::parse("permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination"),
            recipient: List::default(),
            etrn: List::default(),
            data: List::default(),
            end_of_data: List::default(),
            delay_reject: true,
            relay_first: true,
            reject_unlisted_sender: false,
            reject_unlisted_recipient: true,
            soft_bounce: false,
            allow_untrusted_routing: false,
            show_table_name: true,
            recipient_delimiter: String::new(),
            owner_request_special: true,
            null_sender_key: "<>".into(),
            parent_style: true,
            log_permit: Vec::new(),
            double_bounce: "double-bounce".into(),
            reject_code: 554,
            defer_code: 450,
            access_reject_code: 554,
            access_defer_code: 450,
            relay_code: 554,
            multi_recipient_code: 550,
            unknown_client_code: 450,
            invalid_hostname_code: 501,
            non_fqdn_code: 504,
            unknown_hostname_code: 450,
            unknown_address_code: 450,
            plaintext_code: 450,
            unknown_local_code: 550,
            unknown_relay_code: 550,
            unknown_virtual_alias_code: 550,
            unknown_virtual_mailbox_code: 550,
            unverified_sender_code: 450,
            unverified_sender_defer_code: 450,
            unverified_recipient_code: 450,
            unverified_recipient_defer_code: 450,
            unverified_sender_reason: String::new(),
            unverified_recipient_reason: String::new(),
            helo_tempfail: TempfailAction::DeferIfPermit,
            address_tempfail: TempfailAction::DeferIfPermit,
            sender_tempfail: TempfailAction::DeferIfPermit,
            recipient_tempfail: TempfailAction::DeferIfPermit,
        }
    }
}
