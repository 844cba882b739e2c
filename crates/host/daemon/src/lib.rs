//! The daemon skeleton: start-up, privileges, the four loops, the contract with master.
