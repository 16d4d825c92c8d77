//! The pages below docs/: generated parts are up to date, links lead somewhere, the tutorial works.

#[cfg(feature = "cloud")]
mod command_line;
mod first_steps;
mod links;
mod page;
mod routes;
mod settings;
