//! What a crash may leave.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use crate::record::{Operation, Serial};

/// How the file system orders name and mode changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// In one order; an fsync makes all earlier ones durable.
    Journal,
    /// For each file by itself; an fsync makes only those of its file durable.
    PerFile,
}

/// A file after the crash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileState {
    /// Its name.
    pub path: PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// Its content.
    pub data: Vec<u8>,
}

/// The disk after a crash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Image {
    /// Operations that the program had done.
    pub after: usize,
    /// Promises that had been made.
    pub promises: Vec<String>,
    /// What is there.
    pub files: Vec<FileState>,
}

/// What became of the data written since the last fsync of a file.
#[derive(Clone, Copy, Debug)]
enum Data {
    Lost,
    All,
    /// The last write only in its first half.
    Torn,
    /// The right length, but zeros.
    Zeros,
    /// All but the first of the writes: the disk does not keep their order.
    Reordered,
}

const FATES: [Data; 5] = [Data::Lost, Data::All, Data::Torn, Data::Zeros, Data::Reordered];

/// Every image, each once.
#[must_use]
pub fn images(operations: &[Operation], model: Model) -> Vec<Image> {
    let mut found = HashSet::new();
    for after in 0..=operations.len() {
        let done = operations.get(..after).unwrap();
        let promises: Vec<String> = done
            .iter()
            .filter_map(|operation| match operation {
                Operation::Promise(text) => Some(text.clone()),
                _ => None,
            })
            .collect();
        let mut partial = vec![Vec::new()];
        match model {
            Model::PerFile => {
                for file in serials(done) {
                    partial = product(&partial, &file_states(done, file, None));
                }
                keep(&mut found, after, &promises, partial);
            }
            Model::Journal => {
                let synced = done.iter().rposition(|o| matches!(o, Operation::Sync { .. })).unwrap_or(0);
                for cut in synced..=after {
                    let mut partial = vec![Vec::new()];
                    for file in serials(done) {
                        partial = product(&partial, &file_states(done, file, Some(cut)));
                    }
                    keep(&mut found, after, &promises, partial);
                }
            }
        }
    }
    found.into_iter().collect()
}

fn keep(found: &mut HashSet<Image>, after: usize, promises: &[String], states: Vec<Vec<FileState>>) {
    for files in states {
        found.insert(Image { after, promises: promises.to_vec(), files });
    }
}

fn serials(done: &[Operation]) -> Vec<Serial> {
    let mut files: Vec<Serial> = done.iter().filter_map(Operation::file).collect();
    files.sort_unstable();
    files.dedup();
    files
}

fn product(left: &[Vec<FileState>], right: &[Option<FileState>]) -> Vec<Vec<FileState>> {
    let mut out = Vec::with_capacity(left.len() * right.len());
    for files in left {
        for state in right {
            out.push(files.iter().cloned().chain(state.clone()).collect());
        }
    }
    out
}

/// The states that one file may be in; `None`: it is not there. `cut`: name and mode changes from here on are lost.
fn file_states(done: &[Operation], file: Serial, cut: Option<usize>) -> Vec<Option<FileState>> {
    let own: Vec<(usize, &Operation)> =
        done.iter().enumerate().filter(|(_, o)| o.file() == Some(file)).collect();
    let synced = own.iter().rev().find(|(_, o)| matches!(o, Operation::Sync { .. })).map_or(0, |(at, _)| *at);
    let cuts: Vec<usize> = match cut {
        Some(cut) => vec![cut],
        None => (synced..=done.len()).collect(),
    };
    let mut states = Vec::new();
    for cut in cuts {
        let metadata = own.iter().filter(|(at, o)| *at < cut && o.is_metadata()).map(|(_, o)| *o);
        let Some((path, mode)) = name_and_mode(metadata) else {
            states.push(None);
            continue;
        };
        for fate in FATES {
            let data = data(&own, synced, fate);
            states.push(Some(FileState { path: path.clone(), mode, data }));
        }
    }
    let mut seen = HashSet::new();
    states.retain(|state| seen.insert(state.clone()));
    states
}

fn name_and_mode<'a>(metadata: impl Iterator<Item = &'a Operation>) -> Option<(PathBuf, u32)> {
    let mut state = None;
    for operation in metadata {
        match (operation, &mut state) {
            (Operation::Create { path, mode, .. }, _) => state = Some((path.clone(), *mode)),
            (Operation::Rename { to, .. }, Some((path, _))) => path.clone_from(to),
            (Operation::Mode { mode, .. }, Some((_, old))) => *old = *mode,
            (Operation::Unlink { .. }, _) => state = None,
            _ => {}
        }
    }
    state
}

fn data(own: &[(usize, &Operation)], synced: usize, fate: Data) -> Vec<u8> {
    let mut bytes = Vec::new();
    let unsynced: BTreeMap<usize, &Operation> =
        own.iter().filter(|(at, o)| *at > synced && matches!(o, Operation::Write { .. })).copied().collect();
    let (first, last) = (unsynced.keys().next().copied(), unsynced.keys().last().copied());
    for (at, operation) in own {
        let is_unsynced = *at > synced;
        match operation {
            Operation::Write { offset, bytes: new, .. } => {
                let kept = match fate {
                    _ if !is_unsynced => new.clone(),
                    Data::All => new.clone(),
                    Data::Lost => continue,
                    Data::Torn if Some(*at) == last => new.get(..new.len() / 2).unwrap().to_vec(),
                    Data::Torn => new.clone(),
                    Data::Zeros if new.len() > 1 => vec![0; new.len()],
                    Data::Zeros => continue,
                    Data::Reordered if Some(*at) == first => continue,
                    Data::Reordered => new.clone(),
                };
                put(&mut bytes, usize::try_from(*offset).unwrap(), &kept);
            }
            Operation::Truncate { length, .. } => bytes.truncate(usize::try_from(*length).unwrap()),
            _ => {}
        }
    }
    bytes
}

fn put(bytes: &mut Vec<u8>, offset: usize, new: &[u8]) {
    let end = offset + new.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes.get_mut(offset..end).unwrap().copy_from_slice(new);
}
