//! .forward files and `:include:` files.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use engine_expand::{Deed, is_comment, targets};
use host_delivery::Disposition;
use mail_text::logical::{Item, logical_lines};
use os_sys::identity::{User, user_by_uid};

use crate::state::{Rights, Source, State};
use crate::trip::Trip;
use crate::values::Values;

/// Bytes of a .forward or include file, at most.
const FILE_LIMIT: u64 = 16 << 20;

/// A chosen .forward file.
struct Chosen {
    path: PathBuf,
    uses_extension: bool,
}

impl Trip<'_> {
    /// Delivers as the user's .forward file says. `None`: there is none that counts.
    pub(crate) fn dot_forward(&mut self, state: &State, user: &User) -> Option<Disposition> {
        let identity = match self.user_identity(user, user.gid) {
            Ok(identity) => identity,
            Err(detail) => return Some(self.fail(state, detail.dsn, detail.reason)),
        };
        let found = self.acting_as(identity.as_ref(), |trip| {
            let chosen = trip.choose(state, user)?;
            if trip.done.seen(Deed::Forward(chosen.path.display().to_string())) {
                return None;
            }
            let text = read_forward(&chosen.path, user)?;
            Some((chosen, text))
        });
        let (chosen, text) = match found {
            Ok(found) => found?,
            Err(detail) => return Some(self.fail(state, detail.dsn, detail.reason)),
        };
        let lines: Vec<String> = lines_of(&text).collect();
        if lines.iter().all(|line| targets(line).is_empty()) {
            return None;
        }
        if self.job.is_verify_probe() {
            return Some(self.sent(state, format!("forward via file: {}", chosen.path.display())));
        }
        let mut inner = state.clone();
        inner.rights = Rights::User(user.clone());
        inner.source = Source::Forward;
        inner.owner.clone_from(&state.user);
        inner.unmatched = if self.agent.settings.propagate_forward && !chosen.uses_extension {
            state.whole_extension()
        } else {
            String::new()
        };
        if !self.agent.settings.frozen_delivered_to {
            inner.delivered.clone_from(&state.recipient.recipient);
        }
        Some(self.lines(&inner, &lines))
    }

    /// Line by line, until one is to be tried again.
    fn lines(&mut self, state: &State, lines: &[String]) -> Disposition {
        for line in lines {
            if self.targets(state, targets(line)) == Disposition::Remains {
                return Disposition::Remains;
            }
        }
        Disposition::Finished
    }

    /// The first path of `forward_path` whose names all have values and that exists.
    fn choose(&self, state: &State, user: &User) -> Option<Chosen> {
        let settings = &self.agent.settings;
        let values = Values { state, request: &self.job.request, user: Some(user) };
        for template in mail_text::list::words(&settings.forward_path) {
            match values.expand(template, Some(&settings.forward_filter)) {
                Ok(Some(path)) if fs::symlink_metadata(&path).is_ok() => {
                    let uses_extension = template.contains("extension");
                    return Some(Chosen { path: PathBuf::from(path), uses_extension });
                }
                Ok(_) => {}
                Err(error) => os_log::warning!("forward_path: {error}"),
            }
        }
        None
    }

    /// An `:include:` file.
    pub(crate) fn include(&mut self, mut state: State, name: &str) -> Disposition {
        let path = Path::new(name);
        if !path.is_absolute() {
            os_log::warning!(":include:{name} uses a relative path");
            return self.misconfigured(&state);
        }
        let uid = state.uid(&self.agent.settings.default_identity);
        if self.done.seen(Deed::Include(name.to_owned(), uid)) {
            return Disposition::Finished;
        }
        if state.level > crate::trip::NESTING_LIMIT {
            return self.fail(&state, mail_status::Dsn::new(5, 4, 6), ":include: nesting limit exceeded");
        }
        let identity = match self.identity(&state.rights) {
            Ok(identity) => identity,
            Err(detail) => return self.fail(&state, detail.dsn, detail.reason),
        };
        let text = match self.acting_as(identity.as_ref(), |_| read_include(path)) {
            Ok(Ok((text, owner))) => {
                if state.rights == Rights::Default && owner != 0 {
                    match user_by_uid(owner) {
                        Ok(Some(user)) => state.rights = Rights::User(user),
                        Ok(None) | Err(_) => {
                            os_log::warning!("cannot find username for uid {owner}");
                            os_log::warning!("{name}: cannot find :include: file owner");
                            return self.misconfigured(&state);
                        }
                    }
                }
                text
            }
            Ok(Err(reason)) => {
                os_log::warning!("{reason}");
                return self.misconfigured(&state);
            }
            Err(detail) => return self.fail(&state, detail.dsn, detail.reason),
        };
        state.level += 1;
        state.source = Source::Include;
        if state.owner.is_empty() {
            state.owner.clone_from(&state.recipient.recipient);
        }
        if !self.agent.settings.propagate_include {
            state.unmatched.clear();
        }
        let lines: Vec<String> = lines_of(&text).collect();
        self.lines(&state, &lines)
    }
}

/// Logical lines without comments.
fn lines_of(text: &str) -> impl Iterator<Item = String> + '_ {
    logical_lines(text).filter_map(|item| match item {
        Item::Line(line) => Some(line.text),
        Item::Stray(text) => Some(text).filter(|text| !is_comment(text)),
    })
}

/// The file, if it may be trusted; else the reason is logged, and it counts as absent.
fn read_forward(path: &Path, user: &User) -> Option<String> {
    let shown = path.display();
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => {
            os_log::warning!("cannot open file {shown}: {}", os_sys::error_text(&error));
            return None;
        }
    };
    if !metadata.is_file() {
        os_log::warning!("file {shown} is not a regular file");
    } else if metadata.uid() != 0 && metadata.uid() != user.uid {
        os_log::warning!("file {shown} has bad owner uid {}", metadata.uid());
    } else if metadata.mode() & 0o002 != 0 {
        os_log::warning!("file {shown} is world writable");
    } else {
        match read_limited(path) {
            Ok(text) => return Some(text),
            Err(error) => os_log::warning!("cannot open file {shown}: {}", os_sys::error_text(&error)),
        }
    }
    None
}

/// The file and its owner.
fn read_include(path: &Path) -> Result<(String, u32), String> {
    let shown = path.display();
    let metadata = fs::metadata(path).map_err(|error| {
        format!("unable to lookup :include: file {shown}: {}", os_sys::error_text(&error))
    })?;
    if !metadata.is_file() {
        return Err(format!(":include: file {shown} is not a regular file"));
    }
    if metadata.mode() & 0o002 != 0 {
        return Err(format!(":include: file {shown} is world writable"));
    }
    let text = read_limited(path)
        .map_err(|error| format!("cannot open include file {shown}: {}", os_sys::error_text(&error)))?;
    Ok((text, metadata.uid()))
}

fn read_limited(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_LIMIT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
