//! The stub resolver: hickory-proto as codec, resolv.conf, UDP and TCP transport.
#![deny(clippy::indexing_slicing)]
