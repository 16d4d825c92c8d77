//! HTTP for every slice: problems, extractors, header fields, bodies, pages of lists, and the edge around all routes.

mod arrival;
pub mod body;
pub mod content_encoding;
pub mod date;
pub mod edge;
pub mod etag;
pub mod extract;
pub mod form;
pub mod json;
pub mod media_type;
pub mod multipart;
pub mod page;
pub mod parameters;
pub mod problem;
pub mod problem_kind;
pub mod request_id;
pub mod stall;

pub use content_encoding::ContentEncoding;
pub use extract::Query;
pub use media_type::MediaType;
pub use page::Page;
pub use problem::Problem;
pub use problem_kind::ProblemKind;
