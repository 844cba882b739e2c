//! Lookup tables: every table type behind mail_lookup::Lookup, and match lists.
