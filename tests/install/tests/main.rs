//! `./install try` and `./install system`, run for real with executables that are built already: those in
//! `POSTINO_BIN_DIR`, else those beside the test.
#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot set itself up fails

mod place;
mod system;
mod try_it;
