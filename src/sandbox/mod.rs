//! A small CSAPI and a small CRM that speak the real wire protocols, for trying things out and for tests.
//!
//! Only `main.rs` and the tests know them.
