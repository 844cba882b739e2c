//! Delivery to mailbox files and Maildirs.
