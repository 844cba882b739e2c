//! Plain text helpers of the mail world. Pure: no IO, no clock.
#![deny(clippy::indexing_slicing)]

pub mod date;
pub mod expand;
pub mod getopt;
pub mod list;
pub mod logical;
pub mod printable;
mod wrap;
pub mod xtext;

pub use wrap::wrap;
