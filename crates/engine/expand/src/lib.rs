//! Local alias and .forward expansion, as decisions without IO.
