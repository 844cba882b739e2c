//! Editing main.cf: `-e`, `-X`, `-#` (`config.md` §8.5).

use std::collections::BTreeMap;
use std::path::Path;

use mail_text::logical::{is_skipped, split_name_value};

use crate::options::{Edit, Mode, Options};
use crate::print::Output;
use crate::{Outcome, edit_master, replacement};

pub(crate) fn run(options: &Options, dir: &Path, out: &mut Output) -> Outcome {
    let Some(edit) = options.edit else { return Ok(()) };
    match options.mode {
        Mode::Main => edit_main(edit, options, &dir.join("main.cf"), out),
        Mode::Master(view) => edit_master::run(edit, view, options, &dir.join("master.cf"), out),
        Mode::LockTypes
        | Mode::MapTypes
        | Mode::TlsInformation
        | Mode::ServerSasl
        | Mode::ClientSasl
        | Mode::ExpandTemplates
        | Mode::DumpTemplates => Ok(()),
    }
}

/// What is to be done, by name; the value is for [`Edit::Set`].
type Requests = BTreeMap<String, String>;

fn requests(edit: Edit, arguments: &[String], out: &mut Output) -> Outcome<Requests> {
    let mut requests = Requests::new();
    for text in arguments {
        if text.contains('\n') {
            return Err("-e, -X, or -# accepts no multi-line input".to_owned());
        }
        let text = text.trim_start();
        if text.starts_with('#') {
            return Err("-e, -X, or -# accepts no comment input".to_owned());
        }
        let (name, value) = match edit {
            Edit::Set => split_name_value(text)?,
            Edit::Remove | Edit::CommentOut if text.is_empty() => {
                return Err("-X or -# requires non-blank parameter names".to_owned());
            }
            Edit::Remove | Edit::CommentOut if text.contains('=') => {
                return Err("-X or -# requires parameter names without value".to_owned());
            }
            Edit::Remove | Edit::CommentOut => (text.trim_end(), ""),
        };
        if let Some(old) = requests.insert(name.to_owned(), value.to_owned())
            && old != value
        {
            out.warning(&format!("ignoring earlier request: '{name} = {old}'"));
        }
    }
    Ok(requests)
}

fn edit_main(edit: Edit, options: &Options, path: &Path, out: &mut Output) -> Outcome {
    let requests = requests(edit, &options.names, out)?;
    let shown = path.display().to_string();
    replacement::replace(path, |old| Ok(edited(edit, &requests, old, &shown, out)))
}

/// The new file. Lines that no request names keep their bytes; comments within an entry stay.
fn edited(edit: Edit, requests: &Requests, old: &[u8], path: &str, out: &mut Output) -> Vec<u8> {
    let mut new = Vec::with_capacity(old.len() + 256);
    let mut hits: BTreeMap<&str, usize> = BTreeMap::new();
    let mut inside = false;
    for line in old.split_inclusive(|b| *b == b'\n') {
        let text = String::from_utf8_lossy(line);
        if is_skipped(&text) {
            new.extend_from_slice(line);
            continue;
        }
        let continues = text.starts_with(|c: char| c.is_ascii_whitespace());
        if !continues {
            let end = text.find(|c: char| c.is_ascii_whitespace() || c == '=').unwrap_or(text.len());
            let request = requests.get_key_value(text.get(..end).unwrap_or_default());
            inside = request.is_some();
            if let Some((name, value)) = request {
                let count = hits.entry(name).or_default();
                *count += 1;
                if *count == 2 {
                    out.warning(&format!("{path}: multiple entries for \"{name}\""));
                }
                if edit == Edit::Set {
                    new.extend_from_slice(format!("{name} = {value}\n").as_bytes());
                }
            }
        }
        match (inside, edit) {
            (false, _) => new.extend_from_slice(line),
            (true, Edit::CommentOut) => {
                new.push(b'#');
                new.extend_from_slice(line);
            }
            (true, Edit::Set | Edit::Remove) => {}
        }
    }
    if edit == Edit::Set {
        if new.last().is_some_and(|b| *b != b'\n') {
            new.push(b'\n');
        }
        for (name, value) in requests.iter().filter(|(name, _)| !hits.contains_key(name.as_str())) {
            new.extend_from_slice(format!("{name} = {value}\n").as_bytes());
        }
    }
    new
}
