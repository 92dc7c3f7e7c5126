//! API keys: made, restricted, replaced, used, burned.

mod ages;
mod contact;
mod count;
mod exposure;
mod life;
mod restrictions;
mod search;
