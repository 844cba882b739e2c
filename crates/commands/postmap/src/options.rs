//! The command lines of postmap and postalias.

use host_tables::store::{Duplicate, Ending};
use mail_text::getopt::{self, Item};

/// Which command this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// `key whitespace value` sources.
    Postmap,
    /// aliases(5) sources.
    Postalias,
}

impl Tool {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postmap => "postmap",
            Self::Postalias => "postalias",
        }
    }

    const fn option_string(self) -> &'static str {
        match self {
            Self::Postmap => "bc:d:fFhijmnNopq:rsuUvw",
            Self::Postalias => "c:d:finNopq:rsuvw",
        }
    }

    fn usage(self, program: &str) -> String {
        let letters = match self {
            Self::Postmap => "bfFhimnNoprsuUvw",
            Self::Postalias => "Nfinoprsuvw",
        };
        format!("usage: {program} [-{letters}] [-c config_dir] [-d key] [-q key] [map_type:]file...")
    }
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make the index from the source.
    Create,
    /// `-i`: add records from standard input.
    Incremental,
    /// `-d`
    Delete(String),
    /// `-q`
    Query(String),
    /// `-s`
    Sequence,
}

/// What of a message on standard input is looked up (`-q -` with `-b`, `-h`, `-m`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// `-h`: headers.
    pub headers: bool,
    /// `-b`: body lines.
    pub body: bool,
    /// `-m`: with the headers of MIME parts and attached messages as headers.
    pub mime: bool,
}

/// The command line.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools)] // one flag an option
pub struct Options {
    /// What to do.
    pub action: Action,
    /// `-c`
    pub config_directory: Option<String>,
    /// `-f`
    pub keep_case: bool,
    /// `-r`, `-w`
    pub duplicate: Duplicate,
    /// `-n`, `-N`
    pub ending: Ending,
    /// `-o`: stay root.
    pub keep_privileges: bool,
    /// `-p`: do not look at the permissions of the source.
    pub own_permissions: bool,
    /// `-u` off, `-U` on.
    pub utf8: Option<bool>,
    /// `-j`
    pub json: bool,
    /// `-b`, `-h`, `-m`: keys are in a message.
    pub message: Message,
    /// `-F`: values are names of files, whose contents are stored as base64.
    pub files: bool,
    /// `[type:]name` operands.
    pub operands: Vec<String>,
}

impl Options {
    /// Parses the command line.
    ///
    /// # Errors
    /// The text of the fatal error.
    pub fn parse(tool: Tool, program: &str, arguments: &[String]) -> Result<Self, String> {
        let (items, operands) = getopt::parse(arguments, tool.option_string());
        let mut options = Self {
            action: Action::Create,
            config_directory: None,
            keep_case: false,
            duplicate: Duplicate::Warn,
            ending: Ending::Either,
            keep_privileges: false,
            own_permissions: false,
            utf8: None,
            json: false,
            message: Message::default(),
            files: false,
            operands,
        };
        for item in items {
            if let Some(complaint) = item.complaint() {
                eprintln!("{program}: {complaint}");
                return Err(tool.usage(program));
            }
            options.item(item)?;
        }
        options.check_message()?;
        if options.operands.is_empty() {
            return Err(tool.usage(program));
        }
        if options.json && !matches!(options.action, Action::Query(_) | Action::Sequence) {
            return Err("option -j requires -q or -s".into());
        }
        Ok(options)
    }

    fn item(&mut self, item: Item) -> Result<(), String> {
        match item {
            Item::Value('c', directory) => self.config_directory = Some(directory),
            Item::Value('d', key) => self.choose(Action::Delete(key))?,
            Item::Value('q', key) => self.choose(Action::Query(key))?,
            Item::Flag('s') => self.choose(Action::Sequence)?,
            // Means nothing to the other actions.
            Item::Flag('i') if self.action == Action::Create => self.action = Action::Incremental,
            Item::Flag('f') => self.keep_case = true,
            Item::Flag('r') => self.duplicate = Duplicate::Replace,
            Item::Flag('w') => self.duplicate = Duplicate::Ignore,
            Item::Flag('n') => self.ending = Ending::Bare,
            Item::Flag('N') => self.ending = Ending::Nul,
            Item::Flag('o') => self.keep_privileges = true,
            Item::Flag('p') => self.own_permissions = true,
            Item::Flag('u') => self.utf8 = Some(false),
            Item::Flag('U') => self.utf8 = Some(true),
            Item::Flag('j') => self.json = true,
            Item::Flag('b') => self.message.body = true,
            Item::Flag('h') => self.message.headers = true,
            Item::Flag('m') => self.message.mime = true,
            Item::Flag('F') => self.files = true,
            Item::Flag(_) | Item::Value(..) | Item::Unknown(_) | Item::Missing(_) => {}
        }
        Ok(())
    }

    fn choose(&mut self, action: Action) -> Result<(), String> {
        if !matches!(self.action, Action::Create | Action::Incremental) {
            return Err("specify only one of -s -q or -d".to_owned());
        }
        self.action = action;
        Ok(())
    }

    /// `-b`, `-h` and `-m` go with `-q -` only.
    fn check_message(&mut self) -> Result<(), String> {
        let message = &mut self.message;
        if *message == Message::default() {
            return Ok(());
        }
        if self.action != Action::Query("-".to_owned()) {
            return Err("specify -b -h or -m only with \"-q -\"".to_owned());
        }
        if !message.body && !message.headers {
            os_log::warning!("ignoring -m option without -b or -h");
            *message = Message { headers: true, body: true, mime: false };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options, String> {
        let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
        Options::parse(Tool::Postmap, "postmap", &words)
    }

    #[test]
    fn one_action_only() {
        assert_eq!(parse(&["-q", "k", "hash:x"]).unwrap().action, Action::Query("k".into()));
        assert!(parse(&["-q", "k", "-s", "hash:x"]).is_err());
        assert!(parse(&["-j", "hash:x"]).is_err());
        assert!(parse(&[]).unwrap_err().starts_with("usage: postmap ["));
    }
}
