//! Internal addresses are replaced by valid ones on their way out (`smtp_generic_maps`, `lmtp_generic_maps`; generic(5)).

use host_config::{Config, ConfigError, param};
use host_resolve::{AddressService, MapFailure};
use host_tables::{Flags, Maps, TableContext};
use mail_address::{to_external, to_internal};
use mail_lookup::MapsLookup as _;
use mail_mime::{Content, Declared, Ending, Header, Limits, Parser, Part, Problem, Role, Sink};
use mail_status::{Detail, Dsn};

/// The tables, and how their results become addresses.
pub struct Generic {
    maps: Maps,
    /// Parameter, for log lines.
    title: &'static str,
    addresses: AddressService,
    /// `generic` is in `propagate_unmatched_extensions`.
    propagate: bool,
    limits: Limits,
}

impl std::fmt::Debug for Generic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generic").field("title", &self.title).finish_non_exhaustive()
    }
}

/// An address that could not be looked up; already logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown(String);

impl Unknown {
    /// The message waits: nobody is to see an internal address because a table is out of order.
    pub fn detail(&self) -> Detail {
        Detail::new(Dsn::new(4, 3, 0), self.0.clone())
    }
}

impl Generic {
    /// Opens the tables; `None` when there are none.
    ///
    /// # Errors
    /// [`ConfigError`] for a bad value.
    pub fn open(config: &Config, tables: &TableContext, lmtp: bool) -> Result<Option<Self>, ConfigError> {
        let parameter = if lmtp { param::LMTP_GENERIC_MAPS } else { param::SMTP_GENERIC_MAPS };
        let maps = Maps::open(parameter.name(), &config.str(parameter)?, Flags::default(), tables);
        if maps.is_empty() {
            return Ok(None);
        }
        let propagated = config.str(param::PROPAGATE_UNMATCHED_EXTENSIONS)?;
        Ok(Some(Self {
            maps,
            title: parameter.name(),
            addresses: AddressService::from_config(config, tables)?,
            propagate: mail_text::list::words(&propagated).any(|word| word.eq_ignore_ascii_case("generic")),
            // Only the primary header matters here: no structure is looked for.
            limits: Limits { structure: false, ..crate::settings::mime_limits(config)? },
        }))
    }

    /// The first table that has changed since it was opened.
    pub fn changed(&self) -> Option<String> {
        self.maps.changed().or_else(|| self.addresses.changed())
    }

    /// The address that stands for `internal` outside; itself when no entry is about it. Internal forms.
    ///
    /// # Errors
    /// [`Unknown`].
    pub fn address(&self, internal: &str) -> Result<String, Unknown> {
        let found = self.addresses.map(&self.maps, internal, self.propagate).map_err(|failure| {
            let address = match &failure {
                MapFailure::Table(_) => internal,
                MapFailure::Rewrite(address) => address,
            };
            let text = format!("{} map lookup problem for {address}", self.title);
            os_log::warning!("{text}");
            Unknown(text)
        })?;
        if found.len() > 1 {
            os_log::warning!("multi-valued {} result for {internal}", self.title);
        }
        Ok(found.into_iter().next().unwrap_or_else(|| internal.to_owned()))
    }
}

/// Replaces addresses in the primary header of one message.
pub struct Headers<'a> {
    generic: &'a Generic,
    parser: Parser,
    unknown: Option<Unknown>,
}

impl<'a> Headers<'a> {
    /// At the start of a message.
    pub fn new(generic: &'a Generic) -> Self {
        Self { generic, parser: Parser::new(generic.limits), unknown: None }
    }

    /// Takes one record; gives lines (`true`) and fragments of lines (`false`).
    ///
    /// # Errors
    /// [`Unknown`].
    pub fn feed(
        &mut self,
        terminated: bool,
        bytes: &[u8],
        output: &mut dyn FnMut(bool, &[u8]),
    ) -> Result<(), Unknown> {
        if !self.parser.in_primary_header() {
            output(terminated, bytes);
            return Ok(());
        }
        let mut rewriter = Rewriter { generic: self.generic, unknown: &mut self.unknown, output };
        self.parser.feed(terminated, bytes, &mut rewriter);
        self.unknown.take().map_or(Ok(()), Err)
    }

    /// The message is over.
    ///
    /// # Errors
    /// [`Unknown`].
    pub fn finish(&mut self, output: &mut dyn FnMut(bool, &[u8])) -> Result<(), Unknown> {
        let mut rewriter = Rewriter { generic: self.generic, unknown: &mut self.unknown, output };
        self.parser.finish(&mut rewriter);
        self.unknown.take().map_or(Ok(()), Err)
    }
}

struct Rewriter<'a, 'o> {
    generic: &'a Generic,
    unknown: &'a mut Option<Unknown>,
    output: &'a mut (dyn FnMut(bool, &[u8]) + 'o),
}

impl Sink for Rewriter<'_, '_> {
    fn header(&mut self, part: Part, header: &Header<'_>) {
        let has_addresses = header.known.is_some_and(|known| known.role() != Role::Other);
        let rewritten = if part == Part::Primary && has_addresses {
            header.with_addresses(&mut |external| match self.generic.address(&to_internal(external)) {
                Ok(address) => Some(to_external(&address)),
                Err(unknown) => {
                    *self.unknown = Some(unknown);
                    None
                }
            })
        } else {
            None
        };
        let text = rewritten.as_deref().unwrap_or(header.text);
        text.split(|&b| b == b'\n').for_each(|line| (self.output)(true, line));
    }

    fn headers_end(&mut self, _: Part, _: Ending, _: Declared) {}

    fn body(&mut self, _: Content, terminated: bool, bytes: &[u8]) {
        (self.output)(terminated, bytes);
    }

    fn problem(&mut self, _: Problem, _: &[u8]) {}
}
