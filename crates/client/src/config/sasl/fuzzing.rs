//! What the targets of `fuzz/` reach of what is this module's own.

#![allow(missing_docs, reason = "it is no part of the crate's interface")]

use super::jaas;

/// A line of `sasl.jaas.config`.
pub struct Jaas(jaas::Jaas);

impl Jaas {
    pub fn parse(text: &str) -> Result<Self, String> {
        jaas::Jaas::parse(text).map(Self)
    }

    pub fn module(&self) -> &str {
        &self.0.module
    }

    pub fn options(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.all("")
    }
}
