//! The server as a whole: routes, errors, limits, pages, health, start and stop.

mod bad_input;
mod concurrency;
mod damage;
mod entity_tags;
mod exhaustion;
mod front_page;
mod health;
mod limits;
mod list_pages;
mod media_types;
mod older_clients;
mod openapi;
mod rejections;
mod routing;
mod shutdown;
mod timeouts;
