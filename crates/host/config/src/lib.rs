//! main.cf and master.cf: the parameter table, grammar, expansion, typed values.
