//! master.cf.
