//! The attribute protocol between the daemons, and the typed messages of each service.
#![deny(clippy::indexing_slicing)]
