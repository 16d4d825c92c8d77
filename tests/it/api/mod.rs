//! The real server, over HTTP: what it answers, what it must not answer, and what it keeps.

mod bad_input;
mod batches;
mod concurrency;
mod damage;
mod export;
mod files;
mod files_outage;
mod front;
mod greeting;
mod greeting_outage;
mod greeting_redis;
mod health;
mod limits;
mod media_types;
mod pages;
mod rejections;
mod routing;
mod sensors;
mod series;
mod shutdown;
mod statistics;
mod temperature;
mod timeouts;
mod todo_bodies;
mod todos;
mod uploads;
