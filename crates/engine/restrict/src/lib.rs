//! Access restriction lists, evaluated over facts passed in.
