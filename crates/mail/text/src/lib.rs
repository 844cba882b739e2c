//! Plain text helpers of the mail world. Pure: no IO, no clock.
#![deny(clippy::indexing_slicing)]

pub mod date;
pub mod list;
pub mod printable;
pub mod xtext;
