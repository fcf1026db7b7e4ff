//! What moves bytes and reads clocks, and decides nothing: connections, the buffers that responses land in, the time.
//!
//! The driver starts one [`connection`] task for each connection that its machine asks for.

pub(crate) mod clock;
pub(crate) mod connection;
pub(crate) mod frame_pool;
#[cfg(any(feature = "oidc", feature = "schema-registry"))]
pub(crate) mod https;
#[cfg(feature = "oidc")]
pub(crate) mod oidc;
pub(crate) mod opening;
#[cfg(feature = "tls")]
pub(crate) mod tls;
pub(crate) mod tokens;
mod writing;

#[cfg(test)]
mod tests;
