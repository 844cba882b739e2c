//! The queue manager scheduler: events and time in, actions out.
