//! System calls that the safe world needs: the only crate with `unsafe`, each block argued.

pub mod fd;
pub mod identity;
pub mod lock;
pub mod map;
pub mod net;
pub mod process;
pub mod regex;
pub mod signal;
pub mod time;
