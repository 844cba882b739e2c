//! Lookup tables: files that others wrote, and lists of patterns.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use host_config::Config;
use host_tables::{Flags, Kind, MatchList, Table, TableContext, source, store};

/// Records of a table that are looked at, at most: a broken file must not lead in circles.
const RECORDS: usize = 100_000;

thread_local! {
    static CONTEXT: TableContext = {
        let config = Config::with_settings(Path::new("/nonexistent"), [("myhostname", "mail.example.com"), ("inet_protocols", "ipv4")].map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        match TableContext::new(&config) {
            Ok(context) => context,
            Err(error) => panic!("{error}"),
        }
    };
}

/// A directory that goes when the thread does.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let name = format!("postino-fuzz-{}-{:?}", std::process::id(), std::thread::current().id());
        let dir = std::env::temp_dir().join(name);
        if let Err(error) = std::fs::create_dir_all(&dir) {
            panic!("{}: {error}", dir.display());
        }
        Self(dir)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A Berkeley DB file, hash or btree, as `hash:` and `btree:` read it.
pub(crate) fn dbfile(bytes: &[u8]) {
    thread_local!(static PLACE: Directory = Directory::new());
    let path = PLACE.with(|place| place.0.join("table"));
    let name = path.display().to_string();
    if let Err(error) = std::fs::write(format!("{name}.db"), bytes) {
        panic!("{name}.db: {error}");
    }
    for kind in ["hash", "btree"] {
        let mut count = 0;
        let _ = store::sequence(kind, &name, &mut |_, _| {
            count += 1;
            assert!(count < RECORDS, "endless");
            true
        });
        let opened =
            CONTEXT.with(|context| Table::open(&format!("{kind}:{name}"), Flags::default(), context));
        if let Ok(table) = opened {
            for key in ["key1", "key2", "", "nosuch", "a much longer key than the others"] {
                let _ = table.lookup(key);
            }
        }
    }
}

/// The text that postmap and postalias index.
pub(crate) fn table_source(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut count = 0;
    source::map_records("table", &text, true, "", &mut |_| count += 1);
    source::alias_records("aliases", &text, true, &mut |_| count += 1);
    assert!(count <= 2 * text.len() + 2, "more records than text");
}

/// A list such as `mynetworks` or `debug_peer_list`, and pattern tables with the same text.
pub(crate) fn match_list(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    // No tables of files: what this text names may be a file of the machine.
    if text.contains(':') || text.contains('/') && !text.contains('.') {
        return;
    }
    // Fatal, as in the reference: a `!` without a pattern.
    if text.split('!').skip(1).any(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric())) {
        return;
    }
    let address: Option<IpAddr> = "192.0.2.7".parse().ok();
    CONTEXT.with(|context| {
        for kind in [Kind::Strings, Kind::Hosts, Kind::Addresses] {
            let list = MatchList::parse("fuzz", &text, kind, true, context);
            let _ = list.matches_string("mail.example.com");
            let _ = list.matches_host("mail.example.com", address);
        }
        for kind in ["regexp", "cidr", "inline"] {
            let spec =
                if kind == "inline" { format!("inline:{text}") } else { format!("{kind}:{{{{{text}}}}}") };
            if let Ok(table) = Table::open(&spec, Flags::default(), context) {
                let _ = table.lookup("192.0.2.7");
            }
        }
    });
}
