//! Parameters into the values that the session and the restriction engine take.

use std::sync::Arc;

use engine_restrict::{List, Policy, TempfailAction};
use host_config::param as p;
use host_config::{Config, ConfigError};
use host_tables::{Kind, MatchList, TableContext};
use mail_lookup::MapsLookup;
use proto_smtp::server::{Filter, Matcher, Settings};
use proto_smtp::transcript::ErrorClasses;

type Result<T> = std::result::Result<T, ConfigError>;

fn count(config: &Config, parameter: p::Int) -> Result<u32> {
    Ok(u32::try_from(config.int(parameter)?).unwrap_or(u32::MAX))
}

fn code(config: &Config, parameter: p::Int) -> Result<u16> {
    Ok(u16::try_from(config.int(parameter)?).unwrap_or(0))
}

fn list(config: &Config, parameter: p::Str) -> Result<List> {
    Ok(List::parse(&config.str(parameter)?))
}

/// Is the parameter one whose bare domains mean their sub-domains too?
pub(crate) fn parent_style(config: &Config, name: &str) -> Result<bool> {
    let value = config.str(p::PARENT_DOMAIN_MATCHES_SUBDOMAINS)?;
    Ok(mail_text::list::words(&value).any(|word| word == name))
}

fn matcher(config: &Config, name: &str, parameter: p::Str, cx: &TableContext) -> Result<Matcher> {
    let list = MatchList::parse(name, &config.str(parameter)?, Kind::Strings, false, cx);
    Ok(Arc::new(move |word: &str| list.matches_string(word).unwrap_or(false)))
}

fn filter(config: &Config, name: &str, parameter: p::Str, cx: &TableContext) -> Result<Option<Filter>> {
    let maps = host_tables::Maps::open(name, &config.str(parameter)?, host_tables::Flags::default(), cx);
    if maps.is_empty() {
        return Ok(None);
    }
    Ok(Some(Arc::new(move |text: &str| maps.find(text, false).unwrap_or(None))))
}

/// The parameters of the session.
pub(crate) fn session(config: &Config, cx: &TableContext, standalone: bool) -> Result<Settings> {
    let delayed = config.bool(p::SMTPD_DELAY_REJECT)?;
    let filter_maps = filter(config, "smtpd_reject_filter_maps", p::SMTPD_REJECT_FILTER_MAPS, cx)?;
    Ok(Settings {
        myhostname: config.str(p::MYHOSTNAME)?,
        banner: config.str(p::SMTPD_BANNER)?,
        timeout: config.time(p::SMTPD_TIMEOUT)?,
        per_request_deadline: config.bool(p::SMTPD_PER_REQUEST_DEADLINE)?,
        min_data_rate: u64::from(count(config, p::SMTPD_MIN_DATA_RATE)?),
        line_length_limit: usize::try_from(count(config, p::LINE_LENGTH_LIMIT)?).unwrap_or(2048),
        message_size_limit: u64::try_from(config.long(p::MESSAGE_SIZE_LIMIT)?).unwrap_or(0),
        hard_error_limit: count(config, p::SMTPD_HARD_ERROR_LIMIT)?,
        soft_error_limit: count(config, p::SMTPD_SOFT_ERROR_LIMIT)?,
        error_sleep: config.time(p::SMTPD_ERROR_SLEEP_TIME)?,
        junk_command_limit: count(config, p::SMTPD_JUNK_COMMAND_LIMIT)?,
        recipient_limit: count(config, p::SMTPD_RECIPIENT_LIMIT)?,
        recipient_overshoot_limit: count(config, p::SMTPD_RECIPIENT_OVERSHOOT_LIMIT)?,
        helo_required: config.bool(p::SMTPD_HELO_REQUIRED)?,
        ask_helo: !delayed && !standalone && !list(config, p::SMTPD_HELO_RESTRICTIONS)?.is_empty(),
        ask_data: !standalone && !list(config, p::SMTPD_DATA_RESTRICTIONS)?.is_empty(),
        disable_vrfy: config.bool(p::DISABLE_VRFY_COMMAND)?,
        strict_envelopes: config.bool(p::STRICT_RFC821_ENVELOPES)?,
        smtputf8: config.bool(p::SMTPUTF8_ENABLE)?,
        notices_pipelining: !standalone,
        forbid_unauth_pipelining: config.bool(p::SMTPD_FORBID_UNAUTH_PIPELINING)?,
        bare_newline_code: code(config, p::SMTPD_FORBID_BARE_NEWLINE_REJECT_CODE)?,
        soft_bounce: config.bool(p::SOFT_BOUNCE)?,
        reject_footer: config.raw(p::SMTPD_REJECT_FOOTER)?,
        reply_filter: filter_maps,
        footer_maps: filter(config, "smtpd_reject_footer_maps", p::SMTPD_REJECT_FOOTER_MAPS, cx)?,
        noop_commands: matcher(config, "smtpd_noop_commands", p::SMTPD_NOOP_COMMANDS, cx)?,
        forbidden_commands: matcher(config, "smtpd_forbidden_commands", p::SMTPD_FORBIDDEN_COMMANDS, cx)?,
        command_filter: filter(config, "smtpd_command_filter", p::SMTPD_COMMAND_FILTER, cx)?,
        verp_delimiters: config.str(p::VERP_DELIMITER_FILTER)?,
        notice_classes: if standalone {
            ErrorClasses::default()
        } else {
            ErrorClasses::parse(&config.notify_classes()?)
        },
        history_limit: count(config, p::SMTPD_HISTORY_FLUSH_THRESHOLD)?,
        port_logging: config.bool(p::SMTPD_CLIENT_PORT_LOGGING)?,
        default_verp: config.str(p::DEFAULT_VERP_DELIMITERS)?,
        local_time: Some(Arc::new(|| crate::services::local_time().syslog())),
    })
}

/// `address_verify_sender`, complete; empty: the null sender.
pub(crate) fn probe_sender(config: &Config) -> Result<String> {
    let sender = config.str(p::ADDRESS_VERIFY_SENDER)?;
    Ok(match sender.as_str() {
        "" | "<>" => String::new(),
        complete if complete.contains('@') => sender,
        name => format!("{name}@{}", config.str(p::MYORIGIN)?),
    })
}

/// The parameters of restriction lists.
pub(crate) fn policy(config: &Config) -> Result<Policy> {
    let tempfail = |parameter| Ok::<_, ConfigError>(TempfailAction::parse(&config.str(parameter)?));
    let log_permit = config.str(p::SMTPD_LOG_ACCESS_PERMIT_ACTIONS)?;
    let mut policy = Policy {
        client: list(config, p::SMTPD_CLIENT_RESTRICTIONS)?,
        helo: list(config, p::SMTPD_HELO_RESTRICTIONS)?,
        sender: list(config, p::SMTPD_SENDER_RESTRICTIONS)?,
        relay: list(config, p::SMTPD_RELAY_RESTRICTIONS)?,
        recipient: list(config, p::SMTPD_RECIPIENT_RESTRICTIONS)?,
        etrn: list(config, p::SMTPD_ETRN_RESTRICTIONS)?,
        data: list(config, p::SMTPD_DATA_RESTRICTIONS)?,
        end_of_data: list(config, p::SMTPD_END_OF_DATA_RESTRICTIONS)?,
        delay_reject: config.bool(p::SMTPD_DELAY_REJECT)?,
        relay_first: config.bool(p::SMTPD_RELAY_BEFORE_RECIPIENT_RESTRICTIONS)?,
        reject_unlisted_sender: config.bool(p::SMTPD_REJECT_UNLISTED_SENDER)?,
        reject_unlisted_recipient: config.bool(p::SMTPD_REJECT_UNLISTED_RECIPIENT)?,
        soft_bounce: config.bool(p::SOFT_BOUNCE)?,
        allow_untrusted_routing: config.bool(p::ALLOW_UNTRUSTED_ROUTING)?,
        show_table_name: config.bool(p::SHOW_USER_UNKNOWN_TABLE_NAME)?,
        recipient_delimiter: config.str(p::RECIPIENT_DELIMITER)?,
        owner_request_special: config.bool(p::OWNER_REQUEST_SPECIAL)?,
        null_sender_key: config.str(p::SMTPD_NULL_ACCESS_LOOKUP_KEY)?,
        parent_style: parent_style(config, "smtpd_access_maps")?,
        log_permit: mail_text::list::words(&log_permit).map(str::to_ascii_lowercase).collect(),
        double_bounce: config.str(p::DOUBLE_BOUNCE_SENDER)?,
        helo_tempfail: tempfail(p::UNKNOWN_HELO_HOSTNAME_TEMPFAIL_ACTION)?,
        address_tempfail: tempfail(p::UNKNOWN_ADDRESS_TEMPFAIL_ACTION)?,
        sender_tempfail: tempfail(p::UNVERIFIED_SENDER_TEMPFAIL_ACTION)?,
        recipient_tempfail: tempfail(p::UNVERIFIED_RECIPIENT_TEMPFAIL_ACTION)?,
        unverified_sender_reason: config.str(p::UNVERIFIED_SENDER_REJECT_REASON)?,
        unverified_recipient_reason: config.str(p::UNVERIFIED_RECIPIENT_REJECT_REASON)?,
        ..Policy::with_defaults()
    };
    codes(config, &mut policy)?;
    Ok(policy)
}

fn codes(config: &Config, policy: &mut Policy) -> Result<()> {
    let fields: [(&mut u16, p::Int); 18] = [
        (&mut policy.reject_code, p::REJECT_CODE),
        (&mut policy.defer_code, p::DEFER_CODE),
        (&mut policy.access_reject_code, p::ACCESS_MAP_REJECT_CODE),
        (&mut policy.access_defer_code, p::ACCESS_MAP_DEFER_CODE),
        (&mut policy.relay_code, p::RELAY_DOMAINS_REJECT_CODE),
        (&mut policy.multi_recipient_code, p::MULTI_RECIPIENT_BOUNCE_REJECT_CODE),
        (&mut policy.unknown_client_code, p::UNKNOWN_CLIENT_REJECT_CODE),
        (&mut policy.invalid_hostname_code, p::INVALID_HOSTNAME_REJECT_CODE),
        (&mut policy.non_fqdn_code, p::NON_FQDN_REJECT_CODE),
        (&mut policy.unknown_hostname_code, p::UNKNOWN_HOSTNAME_REJECT_CODE),
        (&mut policy.unknown_address_code, p::UNKNOWN_ADDRESS_REJECT_CODE),
        (&mut policy.plaintext_code, p::PLAINTEXT_REJECT_CODE),
        (&mut policy.unknown_local_code, p::UNKNOWN_LOCAL_RECIPIENT_REJECT_CODE),
        (&mut policy.unknown_relay_code, p::UNKNOWN_RELAY_RECIPIENT_REJECT_CODE),
        (&mut policy.unknown_virtual_alias_code, p::UNKNOWN_VIRTUAL_ALIAS_REJECT_CODE),
        (&mut policy.unknown_virtual_mailbox_code, p::UNKNOWN_VIRTUAL_MAILBOX_REJECT_CODE),
        (&mut policy.unverified_sender_code, p::UNVERIFIED_SENDER_REJECT_CODE),
        (&mut policy.unverified_recipient_code, p::UNVERIFIED_RECIPIENT_REJECT_CODE),
    ];
    for (field, parameter) in fields {
        *field = code(config, parameter)?;
    }
    policy.unverified_sender_defer_code = code(config, p::UNVERIFIED_SENDER_DEFER_CODE)?;
    policy.unverified_recipient_defer_code = code(config, p::UNVERIFIED_RECIPIENT_DEFER_CODE)?;
    Ok(())
}
