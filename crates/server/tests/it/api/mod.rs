//! The API as a whole: its table of routes, its guards, its document.

mod document;
mod guard;
mod paces;
mod permissions;
mod unread;
