//! Per-service parameters: `TRANSPORT_destination_concurrency_limit` and its kind (`parameter-services.md` §2).

use std::time::Duration;

use crate::param::{self, Row};
use crate::values::{number, time};
use crate::{Config, Result, fail};

macro_rules! suffixes {
    ($($variant:ident, $suffix:literal, $base:ident;)*) => {
        /// The second half of a per-service parameter name; the first is a transport or service name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Suffix { $(
            #[doc = concat!("`postconf(5) transport", $suffix, "`")]
            $variant
        ),* }

        impl Suffix {
            /// All of them, in the order of `parameter-services.md`.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The text that follows the service name.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self { $(Self::$variant => $suffix),* }
            }

            /// The parameter whose value is the default.
            #[must_use]
            pub fn base(self) -> &'static Row {
                match self { $(Self::$variant => param::$base.row()),* }
            }
        }
    };
}

suffixes! {
    TimeLimit, "_time_limit", COMMAND_TIME_LIMIT;
    RecipientLimit, "_recipient_limit", DEFAULT_RECIPIENT_LIMIT;
    ExtraRecipientLimit, "_extra_recipient_limit", DEFAULT_EXTRA_RECIPIENT_LIMIT;
    RecipientRefillLimit, "_recipient_refill_limit", DEFAULT_RECIPIENT_REFILL_LIMIT;
    RecipientRefillDelay, "_recipient_refill_delay", DEFAULT_RECIPIENT_REFILL_DELAY;
    DeliverySlotCost, "_delivery_slot_cost", DEFAULT_DELIVERY_SLOT_COST;
    DeliverySlotLoan, "_delivery_slot_loan", DEFAULT_DELIVERY_SLOT_LOAN;
    DeliverySlotDiscount, "_delivery_slot_discount", DEFAULT_DELIVERY_SLOT_DISCOUNT;
    MinimumDeliverySlots, "_minimum_delivery_slots", DEFAULT_MINIMUM_DELIVERY_SLOTS;
    InitialDestinationConcurrency, "_initial_destination_concurrency", INITIAL_DESTINATION_CONCURRENCY;
    DestinationConcurrencyLimit, "_destination_concurrency_limit", DEFAULT_DESTINATION_CONCURRENCY_LIMIT;
    DestinationRecipientLimit, "_destination_recipient_limit", DEFAULT_DESTINATION_RECIPIENT_LIMIT;
    DestinationConcurrencyPositiveFeedback, "_destination_concurrency_positive_feedback", DEFAULT_DESTINATION_CONCURRENCY_POSITIVE_FEEDBACK;
    DestinationConcurrencyNegativeFeedback, "_destination_concurrency_negative_feedback", DEFAULT_DESTINATION_CONCURRENCY_NEGATIVE_FEEDBACK;
    DestinationConcurrencyFailedCohortLimit, "_destination_concurrency_failed_cohort_limit", DEFAULT_DESTINATION_CONCURRENCY_FAILED_COHORT_LIMIT;
    DestinationRateDelay, "_destination_rate_delay", DEFAULT_DESTINATION_RATE_DELAY;
    TransportRateDelay, "_transport_rate_delay", DEFAULT_TRANSPORT_RATE_DELAY;
}

impl Config {
    /// A number of a service, else the common one.
    ///
    /// # Errors
    /// Not a number, out of range.
    pub fn service_int(&self, service: &str, suffix: Suffix) -> Result<i64> {
        let (name, value) = self.service_value(service, suffix)?;
        number(suffix.base(), &name, &value, i64::from(i32::MIN)..=i64::from(i32::MAX))
    }

    /// A time of a service, else the common one.
    ///
    /// # Errors
    /// Bad number or unit, out of range.
    pub fn service_time(&self, service: &str, suffix: Suffix) -> Result<Duration> {
        let (name, value) = self.service_value(service, suffix)?;
        time(suffix.base(), &name, &value)
    }

    /// A text of a service, else the common one.
    ///
    /// # Errors
    /// Bad expansion or length.
    pub fn service_str(&self, service: &str, suffix: Suffix) -> Result<String> {
        let (name, value) = self.service_value(service, suffix)?;
        let length = value.len();
        match suffix.base().min {
            Some(min) if i64::try_from(length).is_ok_and(|length| length < min) => {
                fail(format!("bad string length {length} < {min}: {name} = {value}"))
            }
            Some(_) | None => Ok(value),
        }
    }

    /// The name that decides, and its expanded value. `local_destination_concurrency_limit` and
    /// `local_destination_recipient_limit` have defaults of their own.
    fn service_value(&self, service: &str, suffix: Suffix) -> Result<(String, String)> {
        let name = format!("{service}{}", suffix.text());
        if let Some(value) = self.user_value(&name)? {
            return Ok((name, value));
        }
        let row = param::find(&name).unwrap_or_else(|| suffix.base());
        Ok((row.name.to_owned(), self.expanded(row)?))
    }
}
