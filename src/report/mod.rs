//! Tables and reports.

mod error;

pub use error::ReportError;
