//! Address rewriting and resolving: pure, tables passed in.
