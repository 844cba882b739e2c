//! The command line.

use mail_text::getopt::{self, Item};

use crate::{Failure, fatal};

/// How the queue is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `-p`
    Traditional,
    /// `-j`
    Json,
}

/// What is to be delivered now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flush {
    /// `-f`
    Everything,
    /// `-s`
    Site(String),
    /// `-i`
    Message(String),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Lists the queue.
    List(Format),
    /// Flushes it, or a part.
    Flush(Flush),
}

/// The parsed command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What is to be done.
    pub action: Action,
    /// `-c`
    pub config_directory: Option<String>,
}

const USAGE: &str =
    "usage: postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p | postqueue -s site";

impl Options {
    /// Parses; exactly one action, no operands.
    pub fn parse(arguments: &[String]) -> Result<Self, Failure> {
        let (items, operands) = getopt::parse(arguments, "+c:fi:jps:v");
        let mut action = None;
        let mut config_directory = None;
        for item in items {
            let found = match item {
                Item::Flag('f') => Action::Flush(Flush::Everything),
                Item::Value('i', id) => Action::Flush(Flush::Message(id)),
                Item::Value('s', site) => Action::Flush(Flush::Site(site)),
                Item::Flag('j') => Action::List(Format::Json),
                Item::Flag('p') => Action::List(Format::Traditional),
                Item::Flag('v') => continue,
                Item::Value('c', directory) => {
                    config_directory = Some(directory);
                    continue;
                }
                other => {
                    if let Some(complaint) = other.complaint() {
                        eprintln!("{}: {complaint}", os_log::program_name());
                    }
                    return Err(fatal(USAGE));
                }
            };
            if action.replace(found).is_some() {
                return Err(fatal(USAGE));
            }
        }
        match action {
            Some(action) if operands.is_empty() => Ok(Self { action, config_directory }),
            Some(_) | None => Err(fatal(USAGE)),
        }
    }
}
