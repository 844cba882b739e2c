//! Message headers and MIME structure.
#![deny(clippy::indexing_slicing)]
