//! Sanity checks over several parameters.
