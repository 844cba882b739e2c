//! What cleanup takes from main.cf.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use host_config::{Config, Result, param};
use mail_mime::Limits;
use proto_ipc::{Dialect, Format};

/// What to do about a header section that a line of text ended (`non_empty_end_of_header_action`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NonEmptyEnd {
    FixQuietly,
    AddHeader,
    Reject,
}

/// `header_from_format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FromFormat {
    /// `From: name <address>`
    Standard,
    /// `From: address (name)`
    Obsolete,
}

/// MIME violations that are refused (`strict_*`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strict {
    pub seven_bit_headers: bool,
    pub eight_bit_body: bool,
    pub encoding_domain: bool,
    pub nesting: bool,
}

/// Resolved parameters.
#[derive(Debug)]
pub(crate) struct Settings {
    pub format: Format,
    pub ipc_timeout: Duration,
    pub in_flow_delay: Duration,
    pub qmgr_socket: PathBuf,
    pub bounce_socket: PathBuf,
    pub trace_socket: PathBuf,
    pub verify_socket: PathBuf,
    pub soft_bounce: bool,
    pub myhostname: String,
    pub myorigin: String,
    pub empty_address_recipient: String,
    /// Bytes of a queue file; 0: no limit.
    pub message_size_limit: u64,
    pub hopcount_limit: usize,
    /// Bytes of one record of text.
    pub line_length_limit: usize,
    pub mime: Limits,
    pub strict: Strict,
    pub non_empty_end: NonEmptyEnd,
    pub replace_stray_cr_lf: bool,
    pub delay_warning_time: Duration,
    pub enable_original_recipient: bool,
    pub duplicate_filter_limit: usize,
    pub always_bcc: String,
    pub drop_headers: HashSet<String>,
    pub undisclosed_recipients_header: String,
    pub always_add_missing_headers: bool,
    pub remote_header_rewrite_domain: bool,
    pub from_format: FromFormat,
    pub smtputf8: bool,
    pub tls_required: bool,
    pub requiretls_header: bool,
    pub verp_delimiter_filter: String,
    pub delay_resolution: u32,
}

impl Settings {
    pub(crate) fn load(config: &Config) -> Result<Self> {
        let private = |name: param::Str| {
            Ok::<_, host_config::ConfigError>(PathBuf::from("private").join(config.str(name)?))
        };
        let format =
            Format::null(Dialect::from_name(&config.str(param::POSTINO_IPC_DIALECT)?).unwrap_or_default());
        Ok(Self {
            format,
            ipc_timeout: config.time(param::IPC_TIMEOUT)?,
            in_flow_delay: config.time(param::IN_FLOW_DELAY)?,
            qmgr_socket: PathBuf::from("public").join(config.str(param::QUEUE_SERVICE_NAME)?),
            bounce_socket: private(param::BOUNCE_SERVICE_NAME)?,
            trace_socket: private(param::TRACE_SERVICE_NAME)?,
            verify_socket: private(param::ADDRESS_VERIFY_SERVICE_NAME)?,
            soft_bounce: config.bool(param::SOFT_BOUNCE)?,
            myhostname: config.str(param::MYHOSTNAME)?,
            myorigin: config.str(param::MYORIGIN)?,
            empty_address_recipient: config.str(param::EMPTY_ADDRESS_RECIPIENT)?,
            message_size_limit: u64::try_from(config.long(param::MESSAGE_SIZE_LIMIT)?).unwrap_or(0),
            hopcount_limit: size(config.int(param::HOPCOUNT_LIMIT)?),
            line_length_limit: size(config.int(param::LINE_LENGTH_LIMIT)?),
            mime: Limits {
                header_bytes: size(config.int(param::HEADER_SIZE_LIMIT)?),
                boundary_bytes: size(config.int(param::MIME_BOUNDARY_LENGTH_LIMIT)?),
                nesting: size(config.int(param::MIME_NESTING_LIMIT)?),
                structure: !config.bool(param::DISABLE_MIME_INPUT_PROCESSING)?,
            },
            strict: Strict::load(config)?,
            non_empty_end: non_empty_end(&config.str(param::NON_EMPTY_END_OF_HEADER_ACTION)?),
            replace_stray_cr_lf: config.bool(param::CLEANUP_REPLACE_STRAY_CR_LF)?,
            delay_warning_time: config.time(param::DELAY_WARNING_TIME)?,
            enable_original_recipient: config.bool(param::ENABLE_ORIGINAL_RECIPIENT)?,
            duplicate_filter_limit: size(config.int(param::DUPLICATE_FILTER_LIMIT)?),
            always_bcc: config.str(param::ALWAYS_BCC)?,
            drop_headers: mail_text::list::words(&config.str(param::MESSAGE_DROP_HEADERS)?)
                .map(str::to_ascii_lowercase)
                .collect(),
            undisclosed_recipients_header: config.str(param::UNDISCLOSED_RECIPIENTS_HEADER)?,
            always_add_missing_headers: config.bool(param::ALWAYS_ADD_MISSING_HEADERS)?,
            remote_header_rewrite_domain: !config.str(param::REMOTE_HEADER_REWRITE_DOMAIN)?.is_empty(),
            from_format: from_format(&config.str(param::HEADER_FROM_FORMAT)?),
            smtputf8: config.bool(param::SMTPUTF8_ENABLE)?,
            tls_required: config.bool(param::TLS_REQUIRED_ENABLE)?,
            requiretls_header: config.bool(param::REQUIRETLS_ESMTP_HEADER)?,
            verp_delimiter_filter: config.str(param::VERP_DELIMITER_FILTER)?,
            delay_resolution: u32::try_from(config.int(param::DELAY_LOGGING_RESOLUTION_LIMIT)?).unwrap_or(2),
        })
    }
}

impl Strict {
    fn load(config: &Config) -> Result<Self> {
        let eight_bit_mime = config.bool(param::STRICT_8BITMIME)?;
        let seven_bit_headers = config.bool(param::STRICT_7BIT_HEADERS)? || eight_bit_mime;
        let eight_bit_body = config.bool(param::STRICT_8BITMIME_BODY)? || eight_bit_mime;
        let encoding_domain = config.bool(param::STRICT_MIME_ENCODING_DOMAIN)?;
        let nesting = seven_bit_headers || eight_bit_body || encoding_domain;
        Ok(Self { seven_bit_headers, eight_bit_body, encoding_domain, nesting })
    }
}

/// One warning for each content feature that is set but not built yet (`docs/differences.md`).
pub(crate) fn warn_of_missing_features(config: &Config) -> Result<()> {
    let inspectors = [
        param::HEADER_CHECKS,
        param::BODY_CHECKS,
        param::NON_SMTPD_MILTERS,
        param::MESSAGE_REJECT_CHARACTERS,
        param::MESSAGE_STRIP_CHARACTERS,
    ];
    for parameter in inspectors {
        if !config.str(parameter)?.is_empty() {
            os_log::warning!("{} is set, but not supported yet: mail passes unchecked", parameter.row().name);
        }
    }
    Ok(())
}

fn size(number: i64) -> usize {
    usize::try_from(number).unwrap_or(0)
}

fn non_empty_end(value: &str) -> NonEmptyEnd {
    match value {
        "add_header" => NonEmptyEnd::AddHeader,
        "reject" => NonEmptyEnd::Reject,
        "fix_quietly" => NonEmptyEnd::FixQuietly,
        other => {
            os_log::warning!("unknown non_empty_end_of_header_action value: {other}; using fix_quietly");
            NonEmptyEnd::FixQuietly
        }
    }
}

fn from_format(value: &str) -> FromFormat {
    if value.eq_ignore_ascii_case("obsolete") { FromFormat::Obsolete } else { FromFormat::Standard }
}
