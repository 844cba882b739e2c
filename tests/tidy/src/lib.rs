//! Holds the tree to its rules; see `tests/main.rs`.
