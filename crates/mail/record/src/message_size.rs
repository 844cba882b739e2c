//! The C record: message size, content offset, recipient count, qmgr flags, content length, send options.

/// Send options (SMTPUTF8 and friends), as in field 6 of the C record and in delivery requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendOptions(pub u32);

impl SendOptions {
    /// SMTPUTF8 was requested.
    pub const UTF8_REQUESTED: u32 = 1;
    /// UTF-8 in a header.
    pub const UTF8_HEADER: u32 = 2;
    /// UTF-8 in the sender.
    pub const UTF8_SENDER: u32 = 4;
    /// UTF-8 in a recipient (never on disk).
    pub const UTF8_RECIPIENT: u32 = 8;
    /// `TLS-Required: no` header.
    pub const TLS_OPTIONAL: u32 = 16;
    /// REQUIRETLS.
    pub const REQUIRETLS: u32 = 32;

    /// Whether `flag` is set.
    #[must_use]
    pub const fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }
}

/// The payload of the C record: six integers in 15 columns each, one blank between (95 bytes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageSize {
    /// Bytes of content records, headers included, original region only.
    pub data_size: i64,
    /// File offset of the first content record.
    pub data_offset: i64,
    /// Number of R records written by cleanup.
    pub recipients: i64,
    /// qmgr flags: bit 0 mixed records, bits 1-4 notify flags.
    pub qmgr_flags: i64,
    /// Live content length.
    pub content_length: i64,
    /// [`SendOptions`].
    pub send_options: i64,
}

impl MessageSize {
    /// Length of the payload in bytes.
    pub const LENGTH: usize = 95;

    /// The payload.
    #[must_use]
    pub fn to_payload(self) -> String {
        format!(
            "{:15} {:15} {:15} {:15} {:15} {:15}",
            self.data_size,
            self.data_offset,
            self.recipients,
            self.qmgr_flags,
            self.content_length,
            self.send_options
        )
    }

    /// Reads a payload of at least three fields; missing ones are 0.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(payload).ok()?;
        let mut fields = text.split_ascii_whitespace().map(|f| f.parse::<i64>().ok());
        let mut size = Self {
            data_size: fields.next()??,
            data_offset: fields.next()??,
            recipients: fields.next()??,
            ..Self::default()
        };
        size.qmgr_flags = fields.next().unwrap_or(Some(0))?;
        size.content_length = fields.next().unwrap_or(Some(0))?;
        size.send_options = fields.next().unwrap_or(Some(0))?;
        Some(size)
    }
}
