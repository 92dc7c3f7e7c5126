//! How things come in: translate, authorise, call one feature function, translate back.

pub mod admin;
pub mod api;
pub mod dev;
pub mod edge;
pub mod smtp;
pub mod well_known;
