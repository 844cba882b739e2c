//! System calls that the safe world needs: the only crate with `unsafe`, each block argued.

pub mod fd;
pub mod identity;
pub mod lock;
pub mod map;
pub mod net;
pub mod pcre;
pub mod process;
pub mod regex;
pub mod signal;
pub mod time;

/// The system's text for an error (strerror(3)), as log lines have it.
#[must_use]
pub fn error_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text.get(..end).unwrap_or(&text).to_owned(),
        None => text,
    }
}
