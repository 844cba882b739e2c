//! The command line.

use mail_text::getopt::{self, Item};

/// What is to be shown, and how.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `-b`
    pub body: bool,
    /// `-e`
    pub envelope: bool,
    /// `-h`
    pub header: bool,
    /// `-d`: decimal record types.
    pub types: bool,
    /// `-f`: the path before each line.
    pub path: bool,
    /// `-o`: offsets.
    pub offsets: bool,
    /// `-v`: also pointers, padding, names of content records.
    pub verbose: bool,
    /// `-r`: file order.
    pub raw: bool,
    /// `-q`: operands are queue IDs.
    pub search_queue: bool,
    /// `-s`
    pub start: u64,
    /// `-c`
    pub config_directory: Option<String>,
    /// Files or IDs.
    pub operands: Vec<String>,
}

const USAGE: &str = "[-b (body text)] [-c config_dir] [-d (decimal record type)] [-e (envelope records)] \
    [-h (header text)] [-q (access queue)] [-v] [file(s)...]";

impl Options {
    /// Parses; complaints of getopt go to standard error, the error is the fatal text.
    pub fn parse(name: &str, arguments: &[String]) -> Result<Self, String> {
        let (items, operands) = getopt::parse(arguments, "+bc:defhoqrs:v");
        let mut options = Self { operands, ..Self::default() };
        for item in items {
            match item {
                Item::Flag('b') => options.body = true,
                Item::Flag('d') => options.types = true,
                Item::Flag('e') => options.envelope = true,
                Item::Flag('f') => options.path = true,
                Item::Flag('h') => options.header = true,
                Item::Flag('o') => options.offsets = true,
                Item::Flag('q') => options.search_queue = true,
                Item::Flag('r') => options.raw = true,
                Item::Flag('v') => options.verbose = true,
                Item::Value('c', directory) => options.config_directory = Some(directory),
                Item::Value('s', offset) => {
                    options.start = offset.parse().map_err(|_| format!("bad offset: {offset}"))?;
                }
                other => {
                    if let Some(complaint) = other.complaint() {
                        eprintln!("{name}: {complaint}");
                    }
                    return Err(format!("usage: {name} {USAGE}"));
                }
            }
        }
        if !(options.body || options.envelope || options.header) {
            (options.body, options.envelope, options.header) = (true, true, true);
        }
        Ok(options)
    }
}
