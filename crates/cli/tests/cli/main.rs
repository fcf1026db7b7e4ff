//! The built command against an embedded broker that another process of it serves.

mod bad_input;
mod broker;
mod consume;
mod demo;
mod group;
mod produce;
mod support;
mod tables;
