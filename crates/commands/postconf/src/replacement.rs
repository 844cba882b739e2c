//! How a configuration file is replaced: whole, or not at all (`config.md` §8.5).

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::Outcome;

/// Replaces the file at `path` by what `edit` makes of its text. When that fails, the file stays as it is.
pub(crate) fn replace(path: &Path, edit: impl FnOnce(&[u8]) -> Outcome<Vec<u8>>) -> Outcome {
    let shown = path.display();
    // Looked for first, so that a mistyped directory gets no file of ours.
    let missing = |error: &std::io::Error| format!("open {shown} for reading: {}", text_of(error));
    File::open(path).map_err(|e| missing(&e))?;
    let lock = Replacement::begin(path)?;
    let new = fs::read(path).map_err(|e| missing(&e)).and_then(|old| edit(&old));
    match new {
        Ok(new) => lock.finish(path, &new),
        Err(reason) => {
            lock.abandon();
            Err(reason)
        }
    }
}

/// An operating system error as the reference words it.
pub(crate) fn text_of(error: &std::io::Error) -> String {
    error
        .raw_os_error()
        .map_or_else(|| error.to_string(), |code| nix::errno::Errno::from_raw(code).desc().to_owned())
}

/// The file beside main.cf or master.cf that becomes it, locked: readers see the old or the new text, never a part, and of two
/// editors the second one starts from what the first one wrote.
struct Replacement {
    file: File,
    temporary: PathBuf,
}

impl Replacement {
    /// Waits until no other editor is at work.
    fn begin(path: &Path) -> Outcome<Self> {
        let mut name = path.as_os_str().to_owned();
        name.push(".tmp");
        let temporary = PathBuf::from(name);
        let failed = |what: &str, error: &std::io::Error| {
            format!("{what} {}: {}", temporary.display(), text_of(error))
        };
        loop {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&temporary)
                .map_err(|e| failed("open", &e))?;
            os_sys::lock::flock(&file, os_sys::lock::Mode::Exclusive).map_err(|e| failed("lock", &e))?;
            // The editor that we waited for has made its file main.cf itself: ours is a new one.
            let ours = file.metadata().map_err(|e| failed("stat", &e))?;
            let there = fs::symlink_metadata(&temporary);
            if there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
                return Ok(Self { file, temporary });
            }
        }
    }

    fn finish(mut self, path: &Path, text: &[u8]) -> Outcome {
        let shown = self.temporary.display().to_string();
        let failed = |what: &str, error: &std::io::Error| format!("{what} {shown}: {}", text_of(error));
        self.file.set_len(0).map_err(|e| failed("truncate", &e))?;
        self.file.write_all(text).map_err(|e| failed("write", &e))?;
        self.file.set_permissions(Permissions::from_mode(0o644)).map_err(|e| failed("chmod", &e))?;
        self.file.sync_all().map_err(|e| failed("fsync", &e))?;
        fs::rename(&self.temporary, path).map_err(|e| failed("rename", &e))
    }

    /// Gives up. Whoever waits for the lock notices that its file has no name any more, and makes another.
    fn abandon(self) {
        let _ = fs::remove_file(&self.temporary);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds one parameter under the lock, as `postconf -e` does.
    fn add(path: &Path, name: &str) {
        let lock = Replacement::begin(path).unwrap();
        let mut text = fs::read(path).unwrap();
        text.extend_from_slice(format!("{name} = 1\n").as_bytes());
        lock.finish(path, &text).unwrap();
    }

    #[test]
    fn no_edit_is_lost_among_editors() {
        let directory = std::env::temp_dir().join(format!("postconf-edit-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let path = directory.join("main.cf");
        fs::write(&path, "").unwrap();
        std::thread::scope(|scope| {
            for editor in 0..4 {
                let path = &path;
                scope.spawn(move || (0..10).for_each(|n| add(path, &format!("p{editor}_{n}"))));
            }
        });
        let text = fs::read_to_string(&path).unwrap();
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(text.lines().count(), 40, "{text}");
    }
}
