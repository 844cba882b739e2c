//! What the queue manager takes from main.cf.

use std::time::Duration;

use engine_scheduler::{Concurrency, Feedback, Limits, TransportLimits};
use host_config::{Config, ConfigError, Suffix, param};
use mail_text::list::words;
use proto_ipc::{Dialect, Format};

/// Recipients that one read takes from a queue file at the most.
const RECIPIENT_BATCH: u32 = 5000;
/// Agent connections of one transport that wait for a free agent.
const PENDING_CONNECTIONS: u32 = 2;

/// The settings of this run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Limits of the scheduler.
    pub limits: Limits,
    /// `queue_run_delay`.
    pub queue_run_delay: Duration,
    /// `minimal_backoff_time`.
    pub minimal_backoff: Duration,
    /// `maximal_backoff_time`.
    pub maximal_backoff: Duration,
    /// `maximal_queue_lifetime`.
    pub lifetime: Duration,
    /// `bounce_queue_lifetime`, not above `maximal_queue_lifetime`.
    pub bounce_lifetime: Duration,
    /// `defer_transports`.
    pub deferred_transports: Vec<String>,
    /// `double_bounce_sender`.
    pub double_bounce: String,
    /// `default_filter_nexthop`.
    pub filter_nexthop: String,
    /// `myhostname`.
    pub hostname: String,
    /// `recipient_delimiter`.
    pub recipient_delimiter: String,
    /// `owner_request_special`.
    pub owner_request_special: bool,
    /// `disable_verp_bounces`.
    pub no_verp_bounces: bool,
    /// `confirm_delay_cleared`.
    pub confirm_delay_cleared: bool,
    /// `address_verify_pending_request_limit`.
    pub probe_limit: usize,
    /// `in_flow_delay` is not 0: cleanup waits for tokens.
    pub in_flow: bool,
    /// `default_process_limit`: tokens in the pipe at rest.
    pub process_limit: usize,
    /// `daemon_timeout`: longest wait for an agent's reply.
    pub reply_timeout: Duration,
    /// `delay_logging_resolution_limit`.
    pub delay_digits: u32,
    /// `bounce_service_name`.
    pub bounce_service: String,
    /// `defer_service_name`.
    pub defer_service: String,
    /// `trace_service_name`.
    pub trace_service: String,
    /// Encoding and dialect of the internal protocols.
    pub format: Format,
}

impl Settings {
    /// Reads them.
    ///
    /// # Errors
    /// A malformed value.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let count = |value: i64| u32::try_from(value).unwrap_or(u32::MAX);
        let lifetime = config.time(param::MAXIMAL_QUEUE_LIFETIME)?;
        let dialect = config.str(param::POSTINO_IPC_DIALECT)?;
        Ok(Self {
            limits: Limits {
                active_messages: count(config.int(param::QMGR_MESSAGE_ACTIVE_LIMIT)?),
                recipients: count(config.int(param::QMGR_MESSAGE_RECIPIENT_LIMIT)?),
                message_minimum: count(config.int(param::QMGR_MESSAGE_RECIPIENT_MINIMUM)?),
                batch: RECIPIENT_BATCH,
                destination_retry: config.time(param::MINIMAL_BACKOFF_TIME)?,
                transport_retry: config.time(param::TRANSPORT_RETRY_TIME)?,
                pending_connections: PENDING_CONNECTIONS,
                clog_interval: config.time(param::QMGR_CLOG_WARN_TIME)?,
            },
            queue_run_delay: config.time(param::QUEUE_RUN_DELAY)?,
            minimal_backoff: config.time(param::MINIMAL_BACKOFF_TIME)?,
            maximal_backoff: config.time(param::MAXIMAL_BACKOFF_TIME)?,
            lifetime,
            bounce_lifetime: bounce_lifetime(config, lifetime)?,
            deferred_transports: words(&config.str(param::DEFER_TRANSPORTS)?).map(str::to_owned).collect(),
            double_bounce: config.str(param::DOUBLE_BOUNCE_SENDER)?,
            filter_nexthop: config.str(param::DEFAULT_FILTER_NEXTHOP)?,
            hostname: config.str(param::MYHOSTNAME)?,
            recipient_delimiter: config.str(param::RECIPIENT_DELIMITER)?,
            owner_request_special: config.bool(param::OWNER_REQUEST_SPECIAL)?,
            no_verp_bounces: config.bool(param::DISABLE_VERP_BOUNCES)?,
            confirm_delay_cleared: config.bool(param::CONFIRM_DELAY_CLEARED)?,
            probe_limit: count(config.int(param::ADDRESS_VERIFY_PENDING_REQUEST_LIMIT)?) as usize,
            in_flow: !config.time(param::IN_FLOW_DELAY)?.is_zero(),
            process_limit: count(config.int(param::DEFAULT_PROCESS_LIMIT)?) as usize,
            reply_timeout: config.time(param::DAEMON_TIMEOUT)?,
            delay_digits: count(config.int(param::DELAY_LOGGING_RESOLUTION_LIMIT)?),
            bounce_service: config.str(param::BOUNCE_SERVICE_NAME)?,
            defer_service: config.str(param::DEFER_SERVICE_NAME)?,
            trace_service: config.str(param::TRACE_SERVICE_NAME)?,
            format: Format::null(Dialect::from_name(&dialect).unwrap_or_default()),
        })
    }
}

fn bounce_lifetime(config: &Config, lifetime: Duration) -> Result<Duration, ConfigError> {
    let bounces = config.time(param::BOUNCE_QUEUE_LIFETIME)?;
    if bounces > lifetime {
        os_log::warning!(
            "bounce_queue_lifetime is larger than maximal_queue_lifetime - adjusting bounce_queue_lifetime"
        );
    }
    Ok(bounces.min(lifetime))
}

/// The limits of one transport (`parameter-services`, per-service names).
///
/// # Errors
/// A malformed value.
pub fn transport_limits(config: &Config, name: &str) -> Result<TransportLimits, ConfigError> {
    let count = |suffix| config.service_int(name, suffix).map(|n| u32::try_from(n).unwrap_or(0));
    let feedback = |suffix: Suffix| {
        let text = config.service_str(name, suffix)?;
        Ok(Feedback::parse(&text).unwrap_or_else(|_| {
            os_log::warning!("{name}{}: ignoring malformed or unreasonable feedback: {text}", suffix.text());
            Feedback::Fixed(1.0)
        }))
    };
    Ok(TransportLimits {
        concurrency: Concurrency {
            initial: count(Suffix::InitialDestinationConcurrency)?,
            limit: count(Suffix::DestinationConcurrencyLimit)?,
            positive: feedback(Suffix::DestinationConcurrencyPositiveFeedback)?,
            negative: feedback(Suffix::DestinationConcurrencyNegativeFeedback)?,
            failed_cohort_limit: count(Suffix::DestinationConcurrencyFailedCohortLimit)?,
        },
        destination_recipient_limit: count(Suffix::DestinationRecipientLimit)?,
        destination_rate_delay: config.service_time(name, Suffix::DestinationRateDelay)?,
        transport_rate_delay: config.service_time(name, Suffix::TransportRateDelay)?,
        recipient_limit: count(Suffix::RecipientLimit)?,
        extra_recipient_limit: count(Suffix::ExtraRecipientLimit)?,
        refill_limit: count(Suffix::RecipientRefillLimit)?,
        refill_delay: config.service_time(name, Suffix::RecipientRefillDelay)?,
        slot_cost: count(Suffix::DeliverySlotCost)?,
        slot_loan: count(Suffix::DeliverySlotLoan)?,
        slot_discount: count(Suffix::DeliverySlotDiscount)?,
        minimum_slots: count(Suffix::MinimumDeliverySlots)?,
    })
}
