//! The command line.

use std::io::BufRead;

use mail_text::getopt::{self, Item};

/// What is done with messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `-d`
    Delete,
    /// `-e`
    Expire,
    /// `-f`: expires, and releases what is held.
    ExpireAndRelease,
    /// `-h`
    Hold,
    /// `-H`
    Release,
    /// `-r`
    Requeue,
}

/// Which messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `ALL`
    All,
    /// One, by its ID.
    Id(String),
}

/// One of them with the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// What.
    pub operation: Operation,
    /// Which.
    pub targets: Vec<Target>,
}

/// The parsed command line.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `-c`
    pub config_directory: Option<String>,
    /// `-p`
    pub purge: bool,
    /// `-s`
    pub fix: bool,
    /// `-S`: also long IDs whose inode is wrong.
    pub redundant: bool,
    /// `-v`
    pub verbose: bool,
    /// `-d`, `-e`, `-f`, `-h`, `-H`, `-r`, in order.
    pub actions: Vec<Action>,
    /// Operands.
    pub directories: Vec<String>,
}

const USAGE: &str = "usage: postsuper [-c config_dir] [-d queue_id (delete)] [-e queue_id (expire)] \
    [-f queue_id (expire and/or un-hold)] [-h queue_id (hold)] [-H queue_id (un-hold)] [-p (purge temporary files)] \
    [-r queue_id (requeue)] [-s (structure fix)] [-S (redundant structure fix)][-v (verbose)] [queue...]";

impl Options {
    /// Parses; the error is the fatal text.
    pub fn parse(arguments: &[String]) -> Result<Self, String> {
        let (items, directories) = getopt::parse(arguments, "+c:d:e:f:h:H:pr:sSv");
        let mut options = Self { directories, ..Self::default() };
        for item in items {
            let (operation, text) = match item {
                Item::Value('c', directory) => {
                    if !directory.starts_with('/') {
                        return Err("-c requires absolute pathname".to_owned());
                    }
                    options.config_directory = Some(directory);
                    continue;
                }
                Item::Flag('p') => {
                    options.purge = true;
                    continue;
                }
                Item::Flag('s') => {
                    options.fix = true;
                    continue;
                }
                Item::Flag('S') => {
                    (options.fix, options.redundant) = (true, true);
                    continue;
                }
                Item::Flag('v') => {
                    options.verbose = true;
                    continue;
                }
                Item::Value('d', text) => (Operation::Delete, text),
                Item::Value('e', text) => (Operation::Expire, text),
                Item::Value('f', text) => (Operation::ExpireAndRelease, text),
                Item::Value('h', text) => (Operation::Hold, text),
                Item::Value('H', text) => (Operation::Release, text),
                Item::Value('r', text) => (Operation::Requeue, text),
                other => {
                    if let Some(complaint) = other.complaint() {
                        eprintln!("{}: {complaint}", os_log::program_name());
                    }
                    return Err(USAGE.to_owned());
                }
            };
            options.actions.push(Action { operation, targets: targets(&text) });
        }
        if options.actions.is_empty() && !options.needs_structure() {
            (options.purge, options.fix) = (true, true);
        }
        Ok(options)
    }

    /// The queue's structure is worked on.
    pub fn needs_structure(&self) -> bool {
        self.purge || self.fix
    }

    /// Some action is about a message by its ID.
    pub fn names_messages(&self) -> bool {
        self.actions.iter().flat_map(|action| &action.targets).any(|target| *target != Target::All)
    }
}

/// `-` stands for the lines of standard input.
fn targets(text: &str) -> Vec<Target> {
    let target = |text: &str| if text == "ALL" { Target::All } else { Target::Id(text.to_owned()) };
    if text != "-" {
        return vec![target(text)];
    }
    let lines = std::io::stdin().lock().lines();
    lines
        .map_while(Result::ok)
        .map(|line| target(line.trim()))
        .filter(|t| *t != Target::Id(String::new()))
        .collect()
}
