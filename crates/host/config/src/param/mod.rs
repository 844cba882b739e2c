//! Parameter names as typed constants, and the table behind them.

mod table;
pub use table::*;

/// How a value is read (`config.md` §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text, expanded.
    Str,
    /// Text that is never expanded.
    Raw,
    /// A 32-bit number.
    Int,
    /// A 64-bit number.
    Long,
    /// A time with a unit letter.
    Time,
    /// `yes` or `no`.
    Bool,
}

/// One parameter.
#[derive(Debug)]
pub struct Row {
    /// The name as in main.cf.
    pub name: &'static str,
    /// How it is read.
    pub kind: Kind,
    /// The default, unexpanded; empty for computed ones.
    pub default: &'static str,
    /// Unit of a time given without a letter.
    pub unit: &'static str,
    /// Least value, or least length of a text; times in seconds.
    pub min: Option<i64>,
    /// Greatest value or length.
    pub max: Option<i64>,
    /// Programs that read it (`all`: every one).
    pub programs: &'static str,
    /// The Postfix version that introduced it; empty: before 2.0.
    pub since: &'static str,
    /// What it is for, in one line; the manual page is made of these.
    pub doc: &'static str,
}

impl Row {
    /// Whether only Postino knows this name: answered when asked for, not listed by `postconf -d`.
    #[must_use]
    pub fn is_postino(&self) -> bool {
        self.name.starts_with("postino_")
    }
}

macro_rules! handles {
    ($($kind:ident: $doc:literal),* $(,)?) => { $(
        #[doc = $doc]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $kind(pub(crate) u16);
        impl $kind {
            /// The parameter's table row.
            #[must_use]
            pub fn row(self) -> &'static Row {
                row_at(usize::from(self.0))
            }
            /// The parameter's name.
            #[must_use]
            pub fn name(self) -> &'static str {
                self.row().name
            }
        }
    )* };
}

handles! {
    Str: "A text parameter.",
    Raw: "A text parameter that is never expanded.",
    Int: "A 32-bit number parameter.",
    Long: "A 64-bit number parameter.",
    Time: "A time parameter.",
    Bool: "A yes/no parameter.",
}

macro_rules! parameters {
    ($(($id:ident, $kind:ident, $name:literal, $default:literal, $unit:literal, $min:expr, $max:expr, $programs:literal, $since:literal, $doc:literal),)*) => {
        #[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "positions, named as the constants are")]
        enum At { $($id),* }
        /// All parameters, in byte order of their names.
        pub static TABLE: &[super::Row] = &[
            $(super::Row {
                name: $name, kind: super::Kind::$kind, default: $default, unit: $unit,
                min: $min, max: $max, programs: $programs, since: $since, doc: $doc,
            }),*
        ];
        $(
            #[doc = concat!("`postconf(5) ", $name, "`: ", $doc)]
            pub const $id: super::$kind = super::$kind(At::$id as u16);
        )*
    };
}
pub(crate) use parameters;

static NOTHING: Row = Row {
    name: "",
    kind: Kind::Str,
    default: "",
    unit: "",
    min: None,
    max: None,
    programs: "",
    since: "",
    doc: "",
};

/// Handles are made from the table's own positions, so the row is always there.
fn row_at(index: usize) -> &'static Row {
    TABLE.get(index).unwrap_or(&NOTHING)
}

/// The row of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Row> {
    let index = TABLE.binary_search_by(|row| row.name.as_bytes().cmp(name.as_bytes())).ok()?;
    TABLE.get(index)
}

/// Old names that live only in other parameters' defaults (`parameter-services.md` §5).
pub const LEGACY: &[&str] = &[
    "authorized_verp_clients",
    "fallback_relay",
    "lmtp_per_record_deadline",
    "postscreen_blacklist_action",
    "postscreen_dnsbl_ttl",
    "postscreen_dnsbl_whitelist_threshold",
    "postscreen_whitelist_interfaces",
    "smtp_per_record_deadline",
    "smtpd_client_connection_limit_exceptions",
    "smtpd_per_record_deadline",
    "tlsproxy_client_level",
    "tlsproxy_client_policy",
    "virtual_maps",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_handles_point_at_their_rows() {
        assert!(TABLE.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert_eq!(MYHOSTNAME.name(), "myhostname");
        assert_eq!(P2BOUNCE_NOTICE_RECIPIENT.name(), "2bounce_notice_recipient");
        assert_eq!(QUEUE_RUN_DELAY.row().default, "300s");
        assert_eq!(find("soft_bounce").map(|row| row.kind), Some(Kind::Bool));
        assert!(find("nonesuch").is_none());
    }
}
