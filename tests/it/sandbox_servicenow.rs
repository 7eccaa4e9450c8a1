//! The sandbox ServiceNow itself.
