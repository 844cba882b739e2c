//! What is passed down the expansion of a recipient.

use host_config::{Config, param};
use host_daemon::Error;
use host_delivery::RecipientInfo;
use mail_text::list;
use os_sys::identity::{Identity, User};

/// Where a destination was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The delivery request.
    Request,
    /// An alias.
    Alias,
    /// A .forward file.
    Forward,
    /// An `:include:` file.
    Include,
}

impl Source {
    /// The word in `allow_mail_to_commands` and the like.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Request => "",
            Self::Alias => "alias",
            Self::Forward => "forward",
            Self::Include => "include",
        }
    }
}

/// A parameter that lists sources.
pub(crate) struct Sources(Vec<Source>);

impl Sources {
    pub(crate) fn parse(config: &Config, parameter: param::Str) -> Result<Self, Error> {
        let value = config.str(parameter)?;
        let sources = list::words(&value).map(|word| {
            let known = [Source::Alias, Source::Forward, Source::Include].into_iter();
            let source = known.into_iter().find(|source| source.word().eq_ignore_ascii_case(word));
            source.ok_or_else(|| format!("unknown {} value \"{word}\" in \"{value}\"", parameter.name()))
        });
        Ok(Self(sources.collect::<Result<_, _>>()?))
    }

    pub(crate) fn has(&self, source: Source) -> bool {
        self.0.contains(&source)
    }
}

/// On whose behalf files are written and commands run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rights {
    /// Nobody's yet: `default_privs`.
    Default,
    /// A user's.
    User(User),
}

/// Everything about the recipient at hand. Copied for each destination of an expansion.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// The address at hand, internal form, with the attributes of the recipient of the request.
    pub(crate) recipient: RecipientInfo,
    /// Expansions so far.
    pub(crate) level: usize,
    /// Envelope sender of what is handed back to the queue.
    pub(crate) sender: String,
    /// The owner of the list, or the user whose .forward file this comes from.
    pub(crate) owner: String,
    /// What `Delivered-To:` says; empty: not decided.
    pub(crate) delivered: String,
    /// Rights of the innermost alias, .forward or include file.
    pub(crate) rights: Rights,
    /// The innermost source.
    pub(crate) source: Source,
    /// Names of the aliases that led here.
    pub(crate) aliases: Vec<String>,
    /// Local part, folded, without domain.
    pub(crate) local: String,
    /// Local part without extension.
    pub(crate) user: String,
    /// Extension, without its delimiter.
    pub(crate) extension: Option<String>,
    /// The delimiter of the extension.
    pub(crate) delimiter: String,
    /// Domain.
    pub(crate) domain: String,
    /// Extension with delimiter that goes behind the addresses of this expansion.
    pub(crate) unmatched: String,
    /// A list with an owner: its notices of failures have no ENVID and RET of the message.
    pub(crate) own_envelope: bool,
}

impl State {
    pub(crate) fn new(recipient: &RecipientInfo, sender: &str) -> Self {
        Self {
            recipient: recipient.clone(),
            level: 0,
            sender: sender.to_owned(),
            owner: String::new(),
            delivered: String::new(),
            rights: Rights::Default,
            source: Source::Request,
            aliases: Vec::new(),
            local: String::new(),
            user: String::new(),
            extension: None,
            delimiter: String::new(),
            domain: String::new(),
            unmatched: String::new(),
            own_envelope: false,
        }
    }

    /// Takes the address at hand apart.
    pub(crate) fn split(&mut self, delimiters: &str, owner_request_special: bool) {
        let (local, domain) = mail_address::split(&self.recipient.recipient);
        self.local = mail_address::fold(local);
        self.domain = domain.unwrap_or_default().to_owned();
        let split = mail_address::split_extension(&self.local, delimiters, owner_request_special);
        let (user, extension) = match split {
            Some((user, extension)) => (user.to_owned(), Some(extension.to_owned())),
            None => (self.local.clone(), None),
        };
        self.delimiter = match &extension {
            Some(_) => self.local.get(user.len()..).and_then(|rest| rest.chars().next()).map(String::from),
            None => delimiters.chars().next().map(String::from),
        }
        .unwrap_or_default();
        self.user = user;
        self.extension = extension;
    }

    /// The extension with its delimiter; empty if there is none.
    pub(crate) fn whole_extension(&self) -> String {
        self.extension.as_ref().map(|extension| format!("{}{extension}", self.delimiter)).unwrap_or_default()
    }

    /// The name by which files and commands of a user are told apart.
    pub(crate) fn uid(&self, default: &Identity) -> u32 {
        match &self.rights {
            Rights::Default => default.uid,
            Rights::User(user) => user.uid,
        }
    }
}
