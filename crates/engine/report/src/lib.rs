//! Delivery status notifications: text and structure of bounces, delay warnings and reports.
