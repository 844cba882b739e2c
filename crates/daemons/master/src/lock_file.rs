//! The files that keep a second master out: `pid/master.pid`, `data_directory/master.lock`.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use os_sys::error_text;
use os_sys::lock::{Mode, try_flock};

/// Opens and locks the file for this process's life, and writes its number into it.
///
/// # Errors
/// The text of the fatal record.
pub(crate) fn take(path: &Path) -> Result<File, String> {
    let shown = path.display();
    let failed = |reason: String| format!("open lock file {shown}: {reason}");
    let mut file = open(path).map_err(|error| failed(format!("cannot open file: {}", error_text(&error))))?;
    match try_flock(&file, Mode::Exclusive) {
        Ok(true) => {}
        Ok(false) => {
            return Err(failed("unable to set exclusive lock: Resource temporarily unavailable".to_owned()));
        }
        Err(error) => return Err(failed(format!("unable to set exclusive lock: {}", error_text(&error)))),
    }
    let content = format!("{:>32}\n", std::process::id());
    file.set_len(0)
        .and_then(|()| file.write_all(content.as_bytes()))
        .map_err(|error| format!("cannot update lock file {shown}: {}", error_text(&error)))?;
    Ok(file)
}

/// Whether a process holds the lock.
///
/// # Errors
/// The text of the fatal record.
pub(crate) fn is_held(path: &Path) -> Result<bool, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(format!("open lock file {}: {}", path.display(), error_text(&error))),
    };
    let free = try_flock(&file, Mode::Exclusive);
    free.map(|free| !free).map_err(|error| format!("lock file {}: {}", path.display(), error_text(&error)))
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_file_has_the_padded_number_and_is_held() {
        let path = std::env::temp_dir().join(format!("master-lock-{}", std::process::id()));
        let file = take(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap().len(), 33);
        assert!(is_held(&path).unwrap());
        assert!(
            take(&path)
                .unwrap_err()
                .ends_with("unable to set exclusive lock: Resource temporarily unavailable")
        );
        drop(file);
        assert!(!is_held(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
        assert!(!is_held(&path).unwrap());
    }
}
