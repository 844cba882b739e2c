//! Handing recipients to another transport.
