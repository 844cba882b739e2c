//! Message headers and MIME structure (RFC 5322 §2.2, RFC 2045, RFC 2046): a streaming parser that holds one logical header
//! and the stack of open multiparts, never a body.
#![deny(clippy::indexing_slicing)]

pub mod downgrade;
pub mod header;
mod media;
mod parser;

pub use header::{Header, Known, Role};
pub use parser::{Content, Declared, Ending, Limits, Parser, Part, Problem, Sink};
