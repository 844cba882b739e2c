//! postdrop: the pipe between sendmail and the set-gid command; records go in, two lists come out.

use serde::{Deserialize, Serialize};

/// Announced protocol name.
pub const PROTOCOL: &str = "postdrop_protocol";

/// First list: the announcement and the queue ID.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// [`PROTOCOL`].
    pub protocol: String,
    /// Queue ID.
    pub queue_id: String,
}

/// Last list: cleanup status bits and text.
pub use crate::cleanup::Reply;
