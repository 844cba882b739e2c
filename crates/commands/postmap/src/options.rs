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
            operands,
        };
        for item in items {
            if let Some(complaint) = item.complaint() {
                eprintln!("{program}: {complaint}");
                return Err(tool.usage(program));
            }
            options.item(tool, item)?;
        }
        if options.operands.is_empty() {
            return Err(tool.usage(program));
        }
        if options.json && !matches!(options.action, Action::Query(_) | Action::Sequence) {
            return Err("option -j requires -q or -s".into());
        }
        Ok(options)
    }

    fn item(&mut self, tool: Tool, item: Item) -> Result<(), String> {
        match item {
            Item::Value('c', directory) => self.config_directory = Some(directory),
            Item::Value('d', key) => self.choose(tool, Action::Delete(key))?,
            Item::Value('q', key) => self.choose(tool, Action::Query(key))?,
            Item::Flag('s') => self.choose(tool, Action::Sequence)?,
            Item::Flag('i') => self.choose(tool, Action::Incremental)?,
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
            Item::Flag(letter @ ('b' | 'h' | 'm' | 'F')) => {
                return Err(format!("option -{letter} is not supported by this version of Postino"));
            }
            Item::Flag(_) | Item::Value(..) | Item::Unknown(_) | Item::Missing(_) => {}
        }
        Ok(())
    }

    fn choose(&mut self, tool: Tool, action: Action) -> Result<(), String> {
        if self.action != Action::Create {
            return Err(match tool {
                Tool::Postmap => "specify only one of -d -i -q or -s".into(),
                Tool::Postalias => "specify only one of -d -i -q or -s".to_owned(),
            });
        }
        self.action = action;
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
