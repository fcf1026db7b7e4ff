//! To be described.

mod driver;
mod net;
