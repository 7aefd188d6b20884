//! Bulk jobs.
