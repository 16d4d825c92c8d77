//! What every slice needs of HTTP: problems, extractors, pages, and the edge that all requests pass.

mod arrival;
pub mod body;
pub mod edge;
pub mod extract;
pub mod json;
pub mod page;
pub mod problem;
pub mod problem_kind;
pub mod request_id;
pub mod stall;

pub use extract::{Query, percent_decode};
pub use page::Page;
pub use problem::Problem;
pub use problem_kind::ProblemKind;
