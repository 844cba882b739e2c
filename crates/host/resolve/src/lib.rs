//! Address rewriting and resolving from the configuration: in-process, or over the rewrite socket.
