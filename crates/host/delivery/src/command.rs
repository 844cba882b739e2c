//! Delivery to commands.
