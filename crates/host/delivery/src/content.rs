//! Copies a message, with the lines that a delivery puts in front of it, to a mailbox file or a command.

use std::io::{self, Write};

use host_spool::{QueueFile, ReadError};

/// What is put in front and how lines are changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyRules {
    /// Lines before the message: From_ line, Return-Path, X-Original-To, Delivered-To.
    pub prefix: Vec<String>,
    /// A `>` in front of lines that start with `From `.
    pub quote_from: bool,
    /// A `.` in front of lines that start with `.` (pipe flag `.`).
    pub quote_dot: bool,
    /// Line end (pipe `eol`).
    pub eol: Vec<u8>,
    /// An empty line after the message.
    pub final_blank: bool,
}

impl Default for CopyRules {
    fn default() -> Self {
        Self {
            prefix: Vec::new(),
            quote_from: false,
            quote_dot: false,
            eol: b"\n".to_vec(),
            final_blank: false,
        }
    }
}

/// Why the copy is not complete.
#[derive(Debug)]
pub enum CopyError {
    /// The queue file.
    Read(ReadError),
    /// The destination.
    Write(io::Error),
}

/// Copies the content that starts at `data_offset`. An unterminated last line gets its line end.
///
/// # Errors
/// [`CopyError`]; some of the message may have been written.
pub fn copy_message(
    file: &mut QueueFile,
    data_offset: u64,
    rules: &CopyRules,
    out: &mut dyn Write,
) -> Result<(), CopyError> {
    let write = CopyError::Write;
    for line in &rules.prefix {
        out.write_all(line.as_bytes()).and_then(|()| out.write_all(&rules.eol)).map_err(write)?;
    }
    let mut lines = file.content_lines(data_offset);
    let mut at_start = true;
    while let Some(line) = lines.next_line().map_err(CopyError::Read)? {
        if at_start && rules.quote_from && line.bytes.starts_with(b"From ") {
            out.write_all(b">").map_err(write)?;
        }
        if at_start && rules.quote_dot && line.bytes.starts_with(b".") {
            out.write_all(b".").map_err(write)?;
        }
        out.write_all(line.bytes).map_err(write)?;
        if line.terminated {
            out.write_all(&rules.eol).map_err(write)?;
        }
        at_start = line.terminated;
    }
    if !at_start {
        out.write_all(&rules.eol).map_err(write)?;
    }
    if rules.final_blank {
        out.write_all(&rules.eol).map_err(write)?;
    }
    Ok(())
}
